// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// The kinds of log that a node can keep.
const (
	LogFile   = "file"   // in the data folder
	LogMemory = "memory" // gone with the process
)

// When an appended event is on disk.
const (
	SyncInterval = "interval" // soon after: it survives the process, not a power cut
	SyncAlways   = "always"   // before the publish is answered
)

// Who keeps the record layer of a gateway's TLS 1.3 connection after its
// handshake, which is always crypto/tls's.
const (
	TLSRecordsOwn    = "own"    // package tlsrecord, in a fifth of the memory, where it can
	TLSRecordsStdlib = "stdlib" // crypto/tls
)

// Config is everything a node is told. Fields whose zero has a meaning say so;
// the others take [Defaults]'s value when they are zero.
type Config struct {
	Listen          string // address of the gateway listener
	InternalListen  string // address of the internal route
	InternalTLSCert string // PEM file; empty: the internal route is plain HTTP
	InternalTLSKey  string
	DataDir         string

	TLSCert   string // PEM file; with TLSKey empty too: a self-signed pair is made
	TLSKey    string
	Plaintext bool // no TLS on Listen

	TLSClientCA string // PEM file of who signs gateways' certificates; empty: they have none

	TLSRecords string // TLSRecordsOwn or TLSRecordsStdlib

	PlatformURL string // where gateways' other requests go; empty: nowhere
	PlatformCA  string // PEM file of what PlatformURL and VerifyURL are trusted by; empty: the system's roots

	VerifyURL string // asked to verify gateways' tokens; empty: the registry knows them

	TrustedProxies []netip.Prefix // whose word for who the client is counts
	AllowFrom      []netip.Prefix // where gateways may connect from; empty: anywhere
	AllowedOrigins []string       // web origins whose pages may connect; empty: none

	AdminTokenFile string // empty: admin.token in DataDir

	MaxConnections           int
	MaxConnectionsPerGateway int // 0: no limit
	MaxConnectionsPerOrg     int // 0: no limit

	ConnectionTimeout time.Duration // silence after which a connection is dead
	PingInterval      time.Duration
	RateLimit         int // connection attempts a minute from one address; 0: no limit
	MaxPayload        int // bytes of one event's JSON
	SendQueueBytes    int
	ReadLimitMessages int // messages a second from one connection; 0: no limit
	ReadLimitBytes    int // bytes a second from one connection; 0: no limit
	Shards            int // 0: GOMAXPROCS

	Log            string // LogFile, LogMemory or the nats:// URLs of a cluster
	LogReplicas    int    // servers of the cluster that keep each event; 0: three where there are three
	LogSync        string // SyncInterval or SyncAlways
	Repair         bool   // a damaged log is repaired; else it is not opened
	Retention      time.Duration
	RetentionBytes int64
	ReplayMemory   int // bytes of newest events kept for gateways that resume

	Compression          bool // permessage-deflate for gateways that offer it
	CompressionThreshold int  // bytes of the smallest event that is compressed

	EventTypes       string // YAML file of event types and their schemas; empty: all are taken
	EventTypesStrict bool   // no other types are taken

	OTLPEndpoint string  // base URL of the collector of spans; empty: nothing is traced
	TraceSample  float64 // the part of publishes without a traceparent that is traced; 0: none

	ShutdownTimeout time.Duration
	ShutdownCode    int // WebSocket close code

	NodeID  string // empty: the host's name
	Version string
	Logger  *slog.Logger // nil: nothing is logged
}

// Defaults returns the configuration of a node that is told nothing.
func Defaults() Config {
	return Config{
		Listen:            ":9243",
		InternalListen:    "127.0.0.1:9244",
		DataDir:           "data",
		TLSRecords:        TLSRecordsOwn,
		MaxConnections:    1000,
		ConnectionTimeout: 30 * time.Second,
		PingInterval:      20 * time.Second,
		RateLimit:         10,
		MaxPayload:        1 << 20,
		SendQueueBytes:    4 << 20,
		ReadLimitMessages: 100,
		ReadLimitBytes:    1 << 20,
		Log:               LogFile,
		LogSync:           SyncInterval,
		Retention:         24 * time.Hour,
		RetentionBytes:    1 << 30,
		ReplayMemory:      64 << 20,
		TraceSample:       1,
		ShutdownTimeout:   10 * time.Second,
		ShutdownCode:      1000,

		CompressionThreshold: 1024,
	}
}

// withDefaults fills in what depends on the machine and on other fields.
func (c Config) withDefaults() Config {
	if c.AdminTokenFile == "" {
		c.AdminTokenFile = filepath.Join(c.DataDir, "admin.token")
	}
	if c.Shards == 0 {
		c.Shards = runtime.GOMAXPROCS(0)
	}
	if c.NodeID == "" {
		host, _ := os.Hostname() // none is as good as any
		c.NodeID = nodeName(host)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A ConfigError says which setting cannot stand, and what would.
type ConfigError struct {
	Setting string // as its flag is called, without dashes
	Problem string
}

func (e *ConfigError) Error() string { return "--" + e.Setting + ": " + e.Problem }

// Validate returns the first setting that cannot stand, as a [*ConfigError], or
// nil.
func (c Config) Validate() error {
	return firstError(
		checkAddress("listen", c.Listen),
		checkAddress("internal-listen", c.InternalListen),
		check(c.DataDir != "", "data-dir", "name a folder"),
		checkPair("tls-cert", "tls-key", c.TLSCert, c.TLSKey),
		checkPair("internal-tls-cert", "internal-tls-key", c.InternalTLSCert, c.InternalTLSKey),
		check(!c.Plaintext || c.TLSCert == "", "plaintext", "contradicts --tls-cert: leave one of them out"),
		check(!c.Plaintext || c.TLSClientCA == "", "tls-client-ca", "contradicts --plaintext: without TLS there are no certificates"),
		check(c.TLSRecords == TLSRecordsOwn || c.TLSRecords == TLSRecordsStdlib, "tls-records", fmt.Sprintf("%q is not known; want own or stdlib", c.TLSRecords)),
		checkBaseURL("platform-url", "a platform", c.PlatformURL),
		checkBaseURL("verify-url", "a platform", c.VerifyURL),
		check(c.PlatformCA == "" || c.PlatformURL != "" || c.VerifyURL != "", "platform-ca", "needs --platform-url or --verify-url"),
		check(c.MaxConnections > 0, "max-connections", "want at least 1"),
		check(c.MaxConnectionsPerGateway >= 0, "max-connections-per-gateway", "want 0 (no limit) or more"),
		check(c.MaxConnectionsPerOrg >= 0, "max-connections-per-org", "want 0 (no limit) or more"),
		check(c.PingInterval > 0, "ping-interval", "want more than 0 seconds"),
		check(c.ConnectionTimeout > c.PingInterval, "connection-timeout",
			fmt.Sprintf("%v is not longer than --ping-interval %v: every connection would die between two pings", c.ConnectionTimeout, c.PingInterval)),
		checkOrigins("allowed-origins", c.AllowedOrigins),
		check(c.RateLimit >= 0, "rate-limit", "want 0 (off) or more attempts a minute"),
		check(c.MaxPayload >= 256 && c.MaxPayload <= 32<<20, "max-payload", "want 256 bytes to 32 MiB"),
		check(c.SendQueueBytes >= c.MaxPayload, "send-queue-bytes",
			fmt.Sprintf("%d is less than --max-payload %d: one event could not be queued", c.SendQueueBytes, c.MaxPayload)),
		check(c.ReadLimitMessages >= 0 && c.ReadLimitMessages <= 1e6, "read-limit-messages", "want 0 (no limit) to 1000000 a second"),
		check(c.ReadLimitBytes == 0 || c.ReadLimitBytes >= 16<<10, "read-limit-bytes", "want 0 (no limit), or at least 16 KiB a second: a message may have 64 KiB"),
		check(c.Shards >= 0 && c.Shards <= 1024, "shards", "want 1 to 1024"),
		check(c.Log == LogFile || c.Log == LogMemory || c.logURL() != "", "log", "want file, memory, or nats://HOST:PORT of an existing cluster"), // what it is may hold a password
		check(c.LogReplicas >= 0 && c.LogReplicas <= 5, "log-replicas", "want 1 to 5, or 0 for three where there are three servers"),
		check(c.LogReplicas == 0 || c.logURL() != "", "log-replicas", "needs --log nats://…: a log on this machine has one copy"),
		check(c.ReplayMemory > 0, "replay-memory", "want at least 1 byte"),
		check(c.NodeID == "" || event.ValidName(c.NodeID), "node", fmt.Sprintf("%q cannot name a node; want 1 to %d of letters, digits, _ and -", c.NodeID, event.MaxNameLen)),
		check(c.LogSync == SyncInterval || c.LogSync == SyncAlways, "log-sync", fmt.Sprintf("%q is not a way to sync; want interval or always", c.LogSync)),
		check(c.Log != LogMemory || c.LogSync != SyncAlways, "log-sync", "always contradicts --log memory: nothing is ever on disk"),
		check(c.logURL() == "" || c.LogSync != SyncAlways, "log-sync", "always contradicts --log nats://…: when those servers sync is their setting"),
		check(!c.Repair || c.Log == LogFile, "repair", "needs --log file: no other log lies on this machine"),
		check(c.Retention >= time.Second, "retention", "want at least 1s"),
		check(c.RetentionBytes >= int64(c.MaxPayload), "retention-bytes", "want at least --max-payload"),
		check(!c.EventTypesStrict || c.EventTypes != "", "event-types-strict", "needs --event-types"),
		check(c.CompressionThreshold >= 0, "compression-threshold", "want 0 (every event) or more bytes"),
		checkBaseURL("otlp-endpoint", "a collector", c.OTLPEndpoint),
		check(c.TraceSample >= 0 && c.TraceSample <= 1, "trace-sample", fmt.Sprintf("%v is not a part; want 0 (none) to 1 (all)", c.TraceSample)),
		check(c.ShutdownTimeout > 0, "shutdown-timeout", "want more than 0s"),
		check(validCloseCode(c.ShutdownCode), "shutdown-code", fmt.Sprintf("%d cannot be sent in a close frame; want 1000, 1001, 1011 to 1014 or 3000 to 4999", c.ShutdownCode)),
	)
}

// logURL returns the URLs of the NATS servers that keep the log, or "".
func (c Config) logURL() string {
	for _, scheme := range []string{"nats://", "tls://"} {
		if strings.HasPrefix(c.Log, scheme) {
			return c.Log
		}
	}
	return ""
}

// nodeName returns a node's id made of its host's name.
func nodeName(host string) string {
	name := strings.Map(func(r rune) rune {
		if event.ValidName(string(r)) {
			return r
		}
		return '_'
	}, host)
	return cmp.Or(name[:min(len(name), event.MaxNameLen)], "node")
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func check(ok bool, setting, problem string) error {
	if ok {
		return nil
	}
	return &ConfigError{setting, problem}
}

func checkAddress(setting, address string) error {
	if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
		return &ConfigError{setting, fmt.Sprintf("%q is not an address; want host:port or :port", address)}
	}
	return nil
}

// checkBaseURL returns what is wrong with the URL of something that paths are put
// behind; empty is fine.
func checkBaseURL(setting, of, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		err = errors.New("it is no URL; want http://HOST:PORT or https://HOST:PORT") // what it is may hold a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validPort(u.Port()):
		err = fmt.Errorf("%q is not the URL of %s; want http://HOST:PORT or https://HOST:PORT", u.Redacted(), of)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		err = errors.New("want no user, query or fragment in it")
	}
	if err != nil {
		return &ConfigError{setting, err.Error()}
	}
	return nil
}

// validPort reports whether a URL may have the port, which may be none.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

func checkPair(certSetting, keySetting, cert, key string) error {
	switch {
	case cert != "" && key == "":
		return &ConfigError{certSetting, "needs --" + keySetting + " too"}
	case cert == "" && key != "":
		return &ConfigError{keySetting, "needs --" + certSetting + " too"}
	}
	return nil
}

// validCloseCode reports whether a server may end a connection that did nothing
// wrong with the code (RFC 6455 section 7.4 and the IANA registry).
func validCloseCode(code int) bool {
	return code == 1000 || code == 1001 || code >= 1011 && code <= 1014 || code >= 3000 && code <= 4999
}
