// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package settings has every setting of gatecast serve once: its name, environment
// variable, default, unit, limits and help. The command line is made from the tags of
// [Settings], and so are the defaults of a node, the checks of [Settings.Validate] and
// docs/reference/settings.md.
//
// The tags:
//
//	name         the flag, and the key in a configuration file
//	env          the environment variable
//	default      the value when none is given, written as a user writes it
//	type         how text is read, see [Decode]; none for strings and booleans
//	min, max     the smallest and the largest value, each allowed
//	above        a value that is too small; the next larger one is allowed
//	zero         what 0 means, where 0 is allowed below min
//	oneof        the allowed values, with commas between them
//	rule         a limit in words, for what no other tag says; Validate has its code
//	group        the topic, which help and documents sort by
//	placeholder  the value's name in help
//	help         what the setting is, in at most 12 words
//
// The package imports neither the command line nor the server, so it builds on every
// platform.
package settings

import (
	"log/slog"
	"net/netip"
	"time"
)

// Values of the setting log, besides the nats:// URLs of a NATS cluster.
const (
	LogFile   = "file"   // in the data folder
	LogMemory = "memory" // lost when the process ends
)

// Values of the setting log-sync.
const (
	SyncInterval = "interval" // some seconds after the publish: an event survives kill -9, not a power cut
	SyncAlways   = "always"   // before the publish is answered
)

// Values of the setting tls-records. The handshake is crypto/tls's in both cases.
const (
	TLSRecordsOwn    = "own"    // package tlsrecord, where it supports the cipher
	TLSRecordsStdlib = "stdlib" // crypto/tls
)

// Settings are the settings of one node. The zero value is not usable: start from
// [Defaults]. A Settings is a plain value: whoever has it may change it, and nobody
// else sees the change.
type Settings struct {
	// Addresses and files. Port 0 lets the system choose a port, which is for tests. The data
	// folder has mode 0700, and the secrets in it 0600.

	Listen string `name:"listen" env:"GATECAST_LISTEN" default:":9243" rule:"HOST:PORT or :PORT" group:"Addresses and files" placeholder:"ADDR" help:"Address that gateways connect to (wss)."`
	Internal
	DataDir        string `name:"data-dir" env:"GATECAST_DATA_DIR" default:"data" rule:"a folder" group:"Addresses and files" placeholder:"DIR" help:"Folder of the event log, the registry and generated secrets."`
	AdminTokenFile string `name:"admin-token-file" env:"GATECAST_ADMIN_TOKEN_FILE" group:"Addresses and files" placeholder:"FILE" help:"Admin token, made on first start. None: admin.token in the data folder."`

	// TLS for gateways: 1.2 and 1.3. The files are reloaded when they change, without closing
	// connections. With neither certificate nor Plaintext, the node makes a self-signed pair.

	TLSCert     string `name:"tls-cert" env:"GATECAST_TLS_CERT" group:"TLS for gateways" placeholder:"FILE" help:"PEM certificate for gateways. None: a self-signed one is made."`
	TLSKey      string `name:"tls-key" env:"GATECAST_TLS_KEY" group:"TLS for gateways" placeholder:"FILE" help:"PEM private key of that certificate."`
	TLSClientCA string `name:"tls-client-ca" env:"GATECAST_TLS_CLIENT_CA" group:"TLS for gateways" placeholder:"FILE" help:"PEM authorities whose client certificates identify gateways. None: tokens only."`
	TLSRecords  string `name:"tls-records" env:"GATECAST_TLS_RECORDS" default:"own" oneof:"own,stdlib" group:"TLS for gateways" placeholder:"LAYER" help:"TLS 1.3 record layer: own (less memory) or stdlib."`
	Plaintext   bool   `name:"plaintext" env:"GATECAST_PLAINTEXT" group:"TLS for gateways" help:"Serve gateways without TLS, behind a proxy that terminates it."`

	// Platform and proxies. Ranges have the form of netaddr.ParsePrefix. Origins are compared
	// in the form of CanonicalOrigins. A secret in a URL is never logged.

	ConnectPath    []string       `name:"connect-path" env:"GATECAST_CONNECT_PATH" default:"/api/internal/v1/ws/gateways/connect" type:"list" rule:"paths that begin with /, in ASCII and without ? # % or spaces; not /health" group:"Platform and proxies" placeholder:"PATH,…" help:"Paths that gateways connect to."`
	PlatformURL    string         `name:"platform-url" env:"GATECAST_PLATFORM_URL" rule:"http://HOST:PORT or https://HOST:PORT" group:"Platform and proxies" placeholder:"URL" help:"Where gateways' other requests go. None: answer them with 503."`
	PlatformCA     string         `name:"platform-ca" env:"GATECAST_PLATFORM_CA" group:"Platform and proxies" placeholder:"FILE" help:"PEM certificates to trust the platform by. None: the system's."`
	VerifyURL      string         `name:"verify-url" env:"GATECAST_VERIFY_URL" rule:"http://HOST:PORT or https://HOST:PORT" group:"Platform and proxies" placeholder:"URL" help:"Where the platform verifies gateways' tokens. None: use the registry."`
	TrustedProxies []netip.Prefix `name:"trusted-proxies" env:"GATECAST_TRUSTED_PROXIES" type:"cidrs" group:"Platform and proxies" placeholder:"CIDR,…" help:"Proxies whose PROXY protocol header or X-Forwarded-For names the client."`
	AllowFrom      []netip.Prefix `name:"allow-from" env:"GATECAST_ALLOW_FROM" type:"cidrs" group:"Platform and proxies" placeholder:"CIDR,…" help:"Addresses that gateways may connect from. None: any address."`
	AllowedOrigins []string       `name:"allowed-origins" env:"GATECAST_ALLOWED_ORIGINS" type:"list" rule:"SCHEME://HOST or SCHEME://HOST:PORT" group:"Platform and proxies" placeholder:"ORIGIN,…" help:"Web origins whose pages may connect. None: no pages."`

	// Connections, of this node alone: nodes that share a log do not share limits. A refusal
	// for a limit is 429 or 503, which a gateway retries.
	//
	// A connection is pinged every PingInterval and closed after ConnectionTimeout without a
	// byte from it, so the timeout must be longer. SendQueueBytes must hold the largest event.
	// Every event counts with its size in the queue, also if other connections share it.

	MaxConnections           int           `name:"max-connections" env:"WS_MAX_CONNECTIONS" default:"1000" type:"count" min:"1" group:"Connections" placeholder:"N" help:"Gateway connections that this node accepts."`
	MaxConnectionsPerGateway int           `name:"max-connections-per-gateway" env:"WS_MAX_CONNECTIONS_PER_GATEWAY" default:"0" type:"count" min:"1" zero:"no limit" group:"Connections" placeholder:"N" help:"Connections of one gateway to this node; 0: no limit."`
	MaxConnectionsPerOrg     int           `name:"max-connections-per-org" env:"WS_MAX_CONNECTIONS_PER_ORG" default:"0" type:"count" min:"1" zero:"no limit" group:"Connections" placeholder:"N" help:"Connections of one organization to this node; 0: no limit."`
	ConnectionTimeout        time.Duration `name:"connection-timeout" env:"WS_CONNECTION_TIMEOUT" default:"30" type:"seconds" rule:"longer than ping-interval" group:"Connections" placeholder:"SECONDS" help:"Seconds of silence after which a connection is closed."`
	PingInterval             time.Duration `name:"ping-interval" env:"WS_PING_INTERVAL" default:"20" type:"seconds" above:"0" group:"Connections" placeholder:"SECONDS" help:"Seconds between two pings on a connection."`
	RateLimit                int           `name:"rate-limit" env:"WS_RATE_LIMIT_PER_MINUTE" default:"10" type:"count" min:"1" zero:"off" group:"Connections" placeholder:"N" help:"Connection attempts per minute, of one gateway or refused; 0: no limit."`
	ReadLimitMessages        int           `name:"read-limit-messages" env:"GATECAST_READ_LIMIT_MESSAGES" default:"100" type:"count" min:"1" max:"1000000" zero:"no limit" group:"Connections" placeholder:"N" help:"Messages per second from one connection, besides acks; 0: no limit."`
	ReadLimitBytes           int           `name:"read-limit-bytes" env:"GATECAST_READ_LIMIT_BYTES" default:"1MiB" type:"size" min:"16KiB" zero:"no limit" group:"Connections" placeholder:"BYTES" help:"Bytes per second from one connection; 0: no limit."`
	SendQueueBytes           int           `name:"send-queue-bytes" env:"GATECAST_SEND_QUEUE_BYTES" default:"4MiB" type:"size" rule:"at least max-payload" group:"Connections" placeholder:"BYTES" help:"Unsent bytes after which a connection is a slow consumer."`
	Compression              bool          `name:"compression" env:"GATECAST_COMPRESSION" group:"Connections" help:"Compress events for gateways that offer permessage-deflate."`
	CompressionThreshold     int           `name:"compression-threshold" env:"GATECAST_COMPRESSION_THRESHOLD" default:"1KiB" type:"size" min:"1" zero:"every event" group:"Connections" placeholder:"BYTES" help:"Bytes of the smallest event that is compressed."`
	Shards                   int           `name:"shards" env:"GATECAST_SHARDS" default:"0" type:"count" min:"1" max:"1024" zero:"one per processor" group:"Connections" placeholder:"N" help:"Event loops; 0: one for each processor that Go may use."`

	// Events. MaxPayload is the size of a whole event as JSON, not of its member payload.

	MaxPayload       int    `name:"max-payload" env:"WS_MAX_PAYLOAD" default:"1MiB" type:"size" min:"256" max:"32MiB" group:"Events" placeholder:"BYTES" help:"Bytes of the largest event, as JSON."`
	EventTypes       string `name:"event-types" env:"GATECAST_EVENT_TYPES" group:"Events" placeholder:"FILE" help:"YAML file: a JSON Schema per event type. None: no checks."`
	EventTypesStrict bool   `name:"event-types-strict" env:"GATECAST_EVENT_TYPES_STRICT" group:"Events" help:"Refuse events of a type that is not in that file."`

	// Event log. An event is deleted when it is older than Retention or the log has more than
	// RetentionBytes, whichever comes first. A gateway cannot resume from before that. NodeID
	// names the node to the others on the same NATS; two nodes cannot have the same one.

	Log            string        `name:"log" env:"GATECAST_LOG" default:"file" rule:"file, memory, or nats://HOST:PORT[,…] of an existing NATS cluster" group:"Event log" placeholder:"WHERE" help:"Where events are stored: file, memory, or nats://HOST:PORT[,…]."`
	NodeID         string        `name:"node" env:"GATECAST_NODE" rule:"1 to 64 letters, digits, _ and -" group:"Event log" placeholder:"ID" help:"Node id, unique among nodes that share a log. None: the hostname."`
	LogReplicas    int           `name:"log-replicas" env:"GATECAST_LOG_REPLICAS" default:"0" type:"count" min:"1" max:"5" zero:"3 where the cluster has 3 servers" group:"Event log" placeholder:"N" help:"NATS servers that store each event; 0: 3 where possible."`
	LogSync        string        `name:"log-sync" env:"GATECAST_LOG_SYNC" default:"interval" oneof:"interval,always" group:"Event log" placeholder:"WHEN" help:"Sync to disk: interval, or always before answering a publish."`
	Repair         bool          `name:"repair" env:"GATECAST_REPAIR" group:"Event log" help:"Move damaged parts of the event log aside and start."`
	Retention      time.Duration `name:"retention" env:"GATECAST_RETENTION" default:"24h" type:"duration" min:"1s" group:"Event log" placeholder:"TIME" help:"Time that events are kept."`
	RetentionBytes int64         `name:"retention-bytes" env:"GATECAST_RETENTION_BYTES" default:"1GiB" type:"size" rule:"at least max-payload" group:"Event log" placeholder:"BYTES" help:"Bytes of events that are kept."`
	ReplayMemory   int           `name:"replay-memory" env:"GATECAST_REPLAY_MEMORY" default:"64MiB" type:"size" min:"1" group:"Event log" placeholder:"BYTES" help:"Bytes of newest events in memory, for gateways that resume."`

	// Shutdown. Queues are flushed within ShutdownTimeout, and closes are spread over it so
	// that gateways do not reconnect to other nodes all at once.

	ShutdownTimeout time.Duration `name:"shutdown-timeout" env:"GATECAST_SHUTDOWN_TIMEOUT" default:"10s" type:"duration" above:"0s" group:"Shutdown" placeholder:"TIME" help:"Time to flush queues and close connections on shutdown."`
	ShutdownCode    int           `name:"shutdown-code" env:"GATECAST_SHUTDOWN_CODE" default:"1000" type:"count" rule:"1000, 1001, 1011 to 1014 or 3000 to 4999" group:"Shutdown" placeholder:"CODE" help:"WebSocket close code on shutdown."`

	// Logs and traces. A publish with a traceparent is traced as that says, whatever
	// TraceSample is (W3C Trace Context).

	LogLevel     slog.Level `name:"log-level" env:"GATECAST_LOG_LEVEL" default:"info" type:"level" rule:"debug, info, warn or error" group:"Logs and traces" placeholder:"LEVEL" help:"Lowest level to log: debug, info, warn or error."`
	LogFormat    string     `name:"log-format" env:"GATECAST_LOG_FORMAT" oneof:"text,json" group:"Logs and traces" placeholder:"FORMAT" help:"Log format: text or json. None: text on a terminal, else json."`
	OTLPEndpoint string     `name:"otlp-endpoint" env:"GATECAST_OTLP_ENDPOINT" rule:"http://HOST:PORT or https://HOST:PORT" group:"Logs and traces" placeholder:"URL" help:"OTLP/HTTP collector of traces. None: no tracing."`
	TraceSample  float64    `name:"trace-sample" env:"GATECAST_TRACE_SAMPLE" default:"1" type:"ratio" min:"0" max:"1" group:"Logs and traces" placeholder:"RATIO" help:"Fraction of publishes without a traceparent to trace, 0 to 1."`
}

// Internal are the settings of the internal route. The command health reads the same
// ones to find the node on its machine.
type Internal struct {
	InternalListen  string `name:"internal-listen" env:"GATECAST_INTERNAL_LISTEN" default:"127.0.0.1:9244" rule:"HOST:PORT or :PORT" group:"Addresses and files" placeholder:"ADDR" help:"Address for the platform, operators and Prometheus."`
	InternalTLSCert string `name:"internal-tls-cert" env:"GATECAST_INTERNAL_TLS_CERT" group:"Addresses and files" placeholder:"FILE" help:"PEM certificate of the internal route. None: plain HTTP."`
	InternalTLSKey  string `name:"internal-tls-key" env:"GATECAST_INTERNAL_TLS_KEY" group:"Addresses and files" placeholder:"FILE" help:"PEM private key of that certificate."`
}

// An Error is about the value of one setting, by itself or beside another.
type Error struct {
	Setting string // its name, as in a configuration file
	Problem string // the value, what is wrong with it, and what to do
}

// Error returns one line that names the setting as its flag.
func (e *Error) Error() string { return "--" + e.Setting + ": " + e.Problem }

// NewError returns the error about a setting's value. The problem is one line: the value,
// what is wrong with it, and what to do.
func NewError(setting, problem string) *Error {
	return &Error{Setting: setting, Problem: problem}
}
