// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/internal/node"

	"github.com/alecthomas/kong"
)

type serveCmd struct {
	Config kong.ConfigFlag `help:"YAML file of these settings by name; flags and environment come first." placeholder:"FILE" env:"GATECAST_CONFIG"`

	Listen          string `help:"Address for gateways (wss). Default: ${default}." default:":9243" env:"GATECAST_LISTEN" placeholder:"ADDR"`
	InternalListen  string `help:"Address for the platform, operators and Prometheus. Default: ${default}." default:"127.0.0.1:9244" env:"GATECAST_INTERNAL_LISTEN" placeholder:"ADDR"`
	InternalTLSCert string `name:"internal-tls-cert" help:"PEM certificate of the internal route. None: plain HTTP." env:"GATECAST_INTERNAL_TLS_CERT" placeholder:"FILE"`
	InternalTLSKey  string `name:"internal-tls-key" help:"Its key." env:"GATECAST_INTERNAL_TLS_KEY" placeholder:"FILE"`
	DataDir         string `help:"Folder of the event log, the registry and generated secrets. Default: ${default}." default:"data" env:"GATECAST_DATA_DIR" placeholder:"DIR"`

	TLSCert        string  `name:"tls-cert" help:"PEM certificate for gateways. None: a self-signed one is made." env:"GATECAST_TLS_CERT" placeholder:"FILE"`
	TLSKey         string  `name:"tls-key" help:"Its key." env:"GATECAST_TLS_KEY" placeholder:"FILE"`
	TLSClientCA    string  `name:"tls-client-ca" help:"PEM file of the authorities of gateways' certificates: a gateway may then connect with one instead of a token." env:"GATECAST_TLS_CLIENT_CA" placeholder:"FILE"`
	Plaintext      bool    `help:"No TLS for gateways: a proxy in front terminates it." env:"GATECAST_PLAINTEXT"`
	TLSRecords     string  `name:"tls-records" help:"Who keeps the records of a TLS 1.3 connection after its handshake: own (little memory) or stdlib (Go's crypto/tls). Default: ${default}." default:"own" env:"GATECAST_TLS_RECORDS" placeholder:"WHO"`
	PlatformURL    string  `name:"platform-url" help:"Where gateways' other requests on the same port go. None: they are answered with 503." env:"GATECAST_PLATFORM_URL" placeholder:"URL"`
	PlatformCA     string  `name:"platform-ca" help:"PEM file of the certificates to trust the platform by, at both URLs. Default: the system's." env:"GATECAST_PLATFORM_CA" placeholder:"FILE"`
	VerifyURL      string  `name:"verify-url" help:"Where the platform verifies gateways' tokens, which the registry then does not." env:"GATECAST_VERIFY_URL" placeholder:"URL"`
	TrustedProxies cidrs   `help:"Proxies in front of the node, whose PROXY protocol header or X-Forwarded-For names the client." env:"GATECAST_TRUSTED_PROXIES" placeholder:"CIDR,…"`
	AllowFrom      cidrs   `help:"Where gateways may connect from. Default: anywhere." env:"GATECAST_ALLOW_FROM" placeholder:"CIDR,…"`
	AllowedOrigins origins `help:"Web origins whose pages may connect. Default: none." env:"GATECAST_ALLOWED_ORIGINS" placeholder:"ORIGIN,…"`
	AdminTokenFile string  `help:"File of the admin token, made on first start. Default: admin.token in the data folder." env:"GATECAST_ADMIN_TOKEN_FILE" placeholder:"FILE"`

	MaxConnections           int      `help:"Connections this node keeps. Default: ${default}." default:"1000" env:"WS_MAX_CONNECTIONS" placeholder:"N"`
	MaxConnectionsPerGateway int      `help:"Connections of one gateway; 0 is no limit. Default: ${default}." default:"0" env:"WS_MAX_CONNECTIONS_PER_GATEWAY" placeholder:"N"`
	MaxConnectionsPerOrg     int      `help:"Connections of one organization's gateways; 0 is no limit. Default: ${default}." default:"0" env:"WS_MAX_CONNECTIONS_PER_ORG" placeholder:"N"`
	ConnectionTimeout        seconds  `help:"Seconds of silence after which a connection is dead. Default: ${default}." default:"30" env:"WS_CONNECTION_TIMEOUT" placeholder:"SECONDS"`
	PingInterval             seconds  `help:"Seconds between pings on every connection. Default: ${default}." default:"20" env:"WS_PING_INTERVAL" placeholder:"SECONDS"`
	RateLimit                int      `help:"Connection attempts a minute from one IP address; 0 is no limit. Default: ${default}." default:"10" env:"WS_RATE_LIMIT_PER_MINUTE" placeholder:"N"`
	MaxPayload               byteSize `help:"Size of one event's JSON, at most. Default: ${default}." default:"1MiB" env:"WS_MAX_PAYLOAD" placeholder:"BYTES"`
	SendQueueBytes           byteSize `help:"Unsent bytes after which a connection is closed as a slow consumer. Default: ${default}." default:"4MiB" env:"GATECAST_SEND_QUEUE_BYTES" placeholder:"BYTES"`
	ReadLimitMessages        int      `help:"Messages a second that one connection may send, besides an answer to each event; 0 is no limit. Default: ${default}." default:"100" env:"GATECAST_READ_LIMIT_MESSAGES" placeholder:"N"`
	ReadLimitBytes           byteSize `help:"Bytes a second that one connection may send; 0 is no limit. Default: ${default}." default:"1MiB" env:"GATECAST_READ_LIMIT_BYTES" placeholder:"BYTES"`
	Shards                   int      `help:"Event loops. 0: one for each processor Go may use." default:"0" env:"GATECAST_SHARDS" placeholder:"N"`

	Log            string        `help:"Where events are kept: file (in the data folder), memory, or nats://HOST:PORT[,…] of an existing NATS cluster, which other nodes share. Default: ${default}." default:"file" env:"GATECAST_LOG" placeholder:"WHERE"`
	LogReplicas    int           `help:"Servers of the NATS cluster that keep each event. 0: three where there are three." default:"0" env:"GATECAST_LOG_REPLICAS" placeholder:"N"`
	LogSync        string        `help:"When an event is on disk: interval (soon), or always (before a publish is answered). Default: ${default}." default:"interval" env:"GATECAST_LOG_SYNC" placeholder:"WHEN"`
	Repair         bool          `help:"Move what is damaged in the event log aside, keep the rest, and start." env:"GATECAST_REPAIR"`
	Retention      time.Duration `help:"How long events are kept. Default: ${default}." default:"24h" env:"GATECAST_RETENTION" placeholder:"TIME"`
	RetentionBytes byteSize      `help:"Size of the events kept, at most. Default: ${default}." default:"1GiB" env:"GATECAST_RETENTION_BYTES" placeholder:"BYTES"`

	EventTypes       string `help:"YAML file of event types and a JSON Schema for each, which payloads are checked by. None: any payload is taken." env:"GATECAST_EVENT_TYPES" placeholder:"FILE"`
	EventTypesStrict bool   `help:"Refuse events of a type that is not in that file." env:"GATECAST_EVENT_TYPES_STRICT"`

	ReplayMemory byteSize `help:"Memory for the newest events, from which gateways resume. Default: ${default}." default:"64MiB" env:"GATECAST_REPLAY_MEMORY" placeholder:"BYTES"`

	Compression          bool     `help:"Compress events for gateways that offer permessage-deflate." env:"GATECAST_COMPRESSION"`
	CompressionThreshold byteSize `help:"Size of the smallest event that is compressed. Default: ${default}." default:"1KiB" env:"GATECAST_COMPRESSION_THRESHOLD" placeholder:"BYTES"`

	Node string `help:"This node's id among those that share a log. Default: the host's name." env:"GATECAST_NODE" placeholder:"ID"`

	OTLPEndpoint string  `name:"otlp-endpoint" help:"Collector of traces (OTLP over HTTP), as in http://127.0.0.1:4318. None: nothing is traced." env:"GATECAST_OTLP_ENDPOINT" placeholder:"URL"`
	TraceSample  float64 `help:"The part of publishes that is traced when the publisher does not say, 0 to 1. Default: ${default}." default:"1" env:"GATECAST_TRACE_SAMPLE" placeholder:"PART"`

	ShutdownTimeout time.Duration `help:"Time for the drain: queues are flushed, and closes spread over it. Default: ${default}." default:"10s" env:"GATECAST_SHUTDOWN_TIMEOUT" placeholder:"TIME"`
	ShutdownCode    int           `help:"WebSocket close code on shutdown. Default: ${default}." default:"1000" env:"GATECAST_SHUTDOWN_CODE" placeholder:"CODE"`

	LogLevel  slog.Level `help:"Least level of what is logged: debug, info, warn or error. Default: ${default}." default:"info" env:"GATECAST_LOG_LEVEL" placeholder:"LEVEL"`
	LogFormat string     `help:"Format of the log on standard error: text or json. Default: text on a terminal." enum:",text,json" default:"" env:"GATECAST_LOG_FORMAT" placeholder:"FORMAT"`
}

// Run serves until a signal, and drains.
func (c *serveCmd) Run(ctx context.Context, w world) error {
	cfg := c.nodeConfig()
	if err := cfg.Validate(); err != nil {
		return asUsage(err)
	}
	cfg.Logger = slog.New(c.logHandler(w))
	tuneCollector(cfg.Logger)
	cfg.Shards = spareLoops(cfg.Shards)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before the start, which it would end
	defer signal.Stop(hangups)
	n, err := startNode(ctx, cfg)
	if n == nil || err != nil {
		return err
	}
	// net/http's transports write what servers do wrong to package log's standard
	// logger, and so to standard error, which may be a pipe that nobody reads.
	slog.SetDefault(n.Logger())
	for {
		select {
		case <-hangups:
			n.Reload()
		case <-ctx.Done():
			return n.Drain(context.WithoutCancel(ctx))
		case err := <-n.Failed():
			_ = n.Drain(context.WithoutCancel(ctx)) // the first error is the one to report
			return err
		}
	}
}

// startNode starts a node. It returns nil for both when a signal ends the start, which
// is no failure: nothing was served yet. What is left of the start has the shutdown
// timeout to end cleanly.
func startNode(ctx context.Context, cfg node.Config) (*node.Node, error) {
	type started struct {
		node *node.Node
		err  error
	}
	done := make(chan started, 1)
	go func() {
		n, err := node.Start(ctx, cfg)
		done <- started{n, err}
	}()
	select {
	case s := <-done:
		return afterStart(ctx, cfg.Logger, s.node, s.err)
	case <-ctx.Done():
	}
	cfg.Logger.Info("stopping during the start", "timeout", cfg.ShutdownTimeout.String())
	select {
	case s := <-done:
		return afterStart(ctx, cfg.Logger, s.node, s.err)
	case <-time.After(cfg.ShutdownTimeout):
		cfg.Logger.Warn("the start did not end in time and is cut off; a log is recovered by the next start")
		return nil, nil
	}
}

// afterStart returns what a start has come to. The error of one that a signal ended
// is only logged.
func afterStart(ctx context.Context, logger *slog.Logger, n *node.Node, err error) (*node.Node, error) {
	if err == nil || ctx.Err() == nil {
		return n, err
	}
	logger.Info("stopped during the start", "error", err)
	return nil, nil
}

func (c *serveCmd) nodeConfig() node.Config {
	return node.Config{
		Listen:          c.Listen,
		InternalListen:  c.InternalListen,
		InternalTLSCert: c.InternalTLSCert,
		InternalTLSKey:  c.InternalTLSKey,
		DataDir:         c.DataDir,
		TLSCert:         c.TLSCert,
		TLSKey:          c.TLSKey,
		TLSClientCA:     c.TLSClientCA,
		Plaintext:       c.Plaintext,
		TLSRecords:      c.TLSRecords,
		AdminTokenFile:  c.AdminTokenFile,
		PlatformURL:     c.PlatformURL,
		PlatformCA:      c.PlatformCA,
		VerifyURL:       c.VerifyURL,
		TrustedProxies:  c.TrustedProxies,
		AllowFrom:       c.AllowFrom,
		AllowedOrigins:  c.AllowedOrigins,
		MaxConnections:  c.MaxConnections,

		MaxConnectionsPerGateway: c.MaxConnectionsPerGateway,
		MaxConnectionsPerOrg:     c.MaxConnectionsPerOrg,

		ConnectionTimeout: time.Duration(c.ConnectionTimeout),
		PingInterval:      time.Duration(c.PingInterval),
		RateLimit:         c.RateLimit,
		MaxPayload:        int(c.MaxPayload),
		SendQueueBytes:    int(c.SendQueueBytes),
		ReadLimitMessages: c.ReadLimitMessages,
		ReadLimitBytes:    int(c.ReadLimitBytes),
		Shards:            c.Shards,
		Log:               c.Log,
		LogSync:           c.LogSync,
		Repair:            c.Repair,
		Retention:         c.Retention,
		RetentionBytes:    int64(c.RetentionBytes),
		LogReplicas:       c.LogReplicas,
		EventTypes:        c.EventTypes,
		EventTypesStrict:  c.EventTypesStrict,
		ReplayMemory:      int(c.ReplayMemory),
		NodeID:            c.Node,
		OTLPEndpoint:      c.OTLPEndpoint,
		TraceSample:       c.TraceSample,

		Compression:          c.Compression,
		CompressionThreshold: int(c.CompressionThreshold),

		ShutdownTimeout: c.ShutdownTimeout,
		ShutdownCode:    c.ShutdownCode,
		Version:         buildVersion(),
	}
}

func (c *serveCmd) logHandler(w world) slog.Handler {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	_, terminal := asTerminal(w.err)
	if c.LogFormat == "text" || c.LogFormat == "" && terminal {
		return slog.NewTextHandler(w.err, options)
	}
	return slog.NewJSONHandler(w.err, options)
}
