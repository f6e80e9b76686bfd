// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreValid(t *testing.T) {
	s := Defaults()
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	if s.Listen != ":9243" || s.MaxConnections != 1000 || s.ConnectionTimeout != 30*time.Second || s.RetentionBytes != 1<<30 || s.TraceSample != 1 {
		t.Errorf("defaults are %+v", s)
	}
}

// Each setting is described completely, and its name, variable and help follow the rules.
func TestDescriptions(t *testing.T) {
	names := make(map[string]bool)
	for _, d := range All() {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(d.Name) || names[d.Name] {
			t.Errorf("name %q", d.Name)
		}
		if !regexp.MustCompile(`^(GATECAST|WS)_[A-Z_]+$`).MatchString(d.Env) || names[d.Env] {
			t.Errorf("%s has the variable %q", d.Name, d.Env)
		}
		names[d.Name], names[d.Env] = true, true
		if d.Group == "" || !strings.HasSuffix(d.Help, ".") || len(strings.Fields(d.Help)) > 12 {
			t.Errorf("%s has the group %q and the help %q; want at most 12 words and a full stop", d.Name, d.Group, d.Help)
		}
		if d.typ != "" && !slices.Contains(Types(), d.typ) {
			t.Errorf("%s has the unknown type %q", d.Name, d.typ)
		}
		kind := reflect.TypeFor[Settings]().FieldByIndex(d.index).Type.Kind()
		if (d.typ == "") != (kind == reflect.String || kind == reflect.Bool) {
			t.Errorf("%s has the type %q for a %v", d.Name, d.typ, kind)
		}
		for _, tag := range []string{"min", "max", "above"} {
			d.bound(tag) // panics for a limit that cannot be read
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*Settings)
		setting string
		says    string
	}{
		{"no address", func(s *Settings) { s.Listen = "nowhere" }, "listen", `"nowhere" is not an address; want HOST:PORT or :PORT`},
		{"no folder", func(s *Settings) { s.DataDir = "" }, "data-dir", "want a folder"},
		{"below the minimum", func(s *Settings) { s.MaxConnections = 0 }, "max-connections", "0 is out of range; want at least 1"},
		{"above the maximum", func(s *Settings) { s.Shards = 2000 }, "shards", "2000 is out of range; want 0 (one per processor), or 1 to 1024"},
		{"below 0", func(s *Settings) { s.RateLimit = -1 }, "rate-limit", "-1 is out of range; want 0 (off), or at least 1"},
		{"a size below the minimum", func(s *Settings) { s.ReadLimitBytes = 1 << 10 }, "read-limit-bytes", "1KiB is out of range; want 0 (no limit), or at least 16KiB"},
		{"a size above the maximum", func(s *Settings) { s.MaxPayload = 64 << 20 }, "max-payload", "64MiB is out of range; want 256 to 32MiB"},
		{"a time that must be more", func(s *Settings) { s.PingInterval = 0 }, "ping-interval", "0s is out of range; want more than 0"},
		{"a short time", func(s *Settings) { s.Retention = time.Millisecond }, "retention", "1ms is out of range; want at least 1s"},
		{"a fraction above 1", func(s *Settings) { s.TraceSample = 1.5 }, "trace-sample", "1.5 is out of range; want 0 to 1"},
		{"not a number", func(s *Settings) { s.TraceSample = math.NaN() }, "trace-sample", "NaN is out of range; want 0 to 1"},
		{"an unknown word", func(s *Settings) { s.LogSync = "never" }, "log-sync", `"never" is unknown; want interval or always`},
		{"a word that must be given", func(s *Settings) { s.TLSRecords = "" }, "tls-records", "want own or stdlib"},
		{"an unknown log format", func(s *Settings) { s.LogFormat = "xml" }, "log-format", `"xml" is unknown; want text or json`},
		{"an unknown log", func(s *Settings) { s.Log = "kafka" }, "log", "want file, memory, or nats://HOST:PORT"},
		{"a node's name", func(s *Settings) { s.NodeID = "a b" }, "node", `"a b" cannot name a node; want 1 to 64 letters`},
		{"a close code", func(s *Settings) { s.ShutdownCode = 1006 }, "shutdown-code", "1006 cannot be sent in a close frame; want 1000,"},
		{"a URL without a scheme", func(s *Settings) { s.VerifyURL = "x:1" }, "verify-url", "want http://HOST:PORT or https://HOST:PORT"},
		{"a URL with a query", func(s *Settings) { s.PlatformURL = "http://x?a" }, "platform-url", "query"},
		{"a timeout below the pings", func(s *Settings) { s.ConnectionTimeout = s.PingInterval }, "connection-timeout", "20s closes every connection between two pings, which are --ping-interval 20s apart; want longer than ping-interval"},
		{"a queue below an event", func(s *Settings) { s.SendQueueBytes = 1 << 19 }, "send-queue-bytes", "512KiB cannot hold one event of --max-payload 1MiB; want at least max-payload"},
		{"a log below an event", func(s *Settings) { s.RetentionBytes = 1 }, "retention-bytes", "--max-payload"},
		{"a certificate alone", func(s *Settings) { s.TLSCert = "x" }, "tls-cert", "needs --tls-key"},
		{"a key alone", func(s *Settings) { s.InternalTLSKey = "x" }, "internal-tls-key", "needs --internal-tls-cert"},
		{"a certificate without TLS", func(s *Settings) { s.Plaintext, s.TLSCert, s.TLSKey = true, "x", "x" }, "plaintext", "--tls-cert"},
		{"authorities without TLS", func(s *Settings) { s.Plaintext, s.TLSClientCA = true, "x" }, "tls-client-ca", "--plaintext"},
		{"an authority of nothing", func(s *Settings) { s.PlatformCA = "x" }, "platform-ca", "needs --platform-url or --verify-url"},
		{"replicas of a file", func(s *Settings) { s.LogReplicas = 3 }, "log-replicas", "needs --log nats://"},
		{"sync of memory", func(s *Settings) { s.Log, s.LogSync = LogMemory, SyncAlways }, "log-sync", "contradicts --log memory"},
		{"sync of NATS", func(s *Settings) { s.Log, s.LogSync = "tls://x", SyncAlways }, "log-sync", "contradicts --log nats://"},
		{"repair of memory", func(s *Settings) { s.Log, s.Repair = LogMemory, true }, "repair", "needs --log file"},
		{"strict about nothing", func(s *Settings) { s.EventTypesStrict = true }, "event-types-strict", "needs --event-types"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Defaults()
			tt.change(&s)
			e, ok := errors.AsType[*Error](s.Validate())
			if !ok || e.Setting != tt.setting || !strings.Contains(e.Problem, tt.says) || strings.Contains(e.Problem, "\n") {
				t.Errorf("error %v; want one about %s that says %q", e, tt.setting, tt.says)
			}
		})
	}
}

// What 0 means stands in the limits, and 0 is allowed there.
func TestZeroIsAllowed(t *testing.T) {
	s := Defaults()
	s.RateLimit, s.ReadLimitMessages, s.ReadLimitBytes, s.CompressionThreshold, s.TraceSample = 0, 0, 0, 0, 0
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}

// No error shows a password.
func TestErrorsHideSecrets(t *testing.T) {
	for _, change := range []func(*Settings){
		func(s *Settings) { s.Log = "nat://me:secret@x" },
		func(s *Settings) { s.PlatformURL = "http://me:secret@x" },
		func(s *Settings) { s.PlatformURL = "ftp://me:secret@x" },
		func(s *Settings) { s.VerifyURL = "http://me:secret@x:bad" },
	} {
		s := Defaults()
		change(&s)
		if err := s.Validate(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v", err)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		typ, text string
		want      any // nil: an error
	}{
		{"count", "0x10", 16},
		{"count", "-1", -1},
		{"count", "many", nil},
		{"size", "64KiB", int64(64 << 10)},
		{"size", "1 GiB", int64(1 << 30)},
		{"size", "7", int64(7)},
		{"size", "1MB", nil},
		{"size", "-1", nil},
		{"size", "9999999999GiB", nil},
		{"seconds", "30", 30 * time.Second},
		{"seconds", "1m30s", 90 * time.Second},
		{"seconds", "-1s", nil},
		{"seconds", "soon", nil},
		{"duration", "24h", 24 * time.Hour},
		{"duration", "30", nil},
		{"ratio", "0.5", 0.5},
		{"ratio", "half", nil},
		{"level", "loud", nil},
		{"list", " a, ,b ", []string{"a", "b"}},
		{"cidrs", "10.0.0.0/8, ::1", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		{"cidrs", "10.0.0.0/33", nil},
	} {
		v, err := decoders[tt.typ](tt.text)
		if (err == nil) != (tt.want != nil) || err == nil && !reflect.DeepEqual(v, tt.want) {
			t.Errorf("%s %q is %v, %v; want %v", tt.typ, tt.text, v, err, tt.want)
		}
		if err != nil && (!strings.Contains(err.Error(), "want ") || !strings.Contains(err.Error(), `"`)) {
			t.Errorf("%s %q: the error %q has no value or no remedy", tt.typ, tt.text, err)
		}
	}
}

func TestFormat(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 1 << 10: "1KiB", 1500: "1500", 64 << 20: "64MiB", 1 << 30: "1GiB"} {
		if got := format("size", n); got != want {
			t.Errorf("%d bytes are written %s, want %s", n, got, want)
		}
	}
}

func TestInvalidOrigins(t *testing.T) {
	for _, origin := range []string{
		"*", "ops.example", "https://", "https://*.ops.example", "https://ops.example/", "https://ops.example/x", "https://ops.example?x",
		"https://ops.example#x", "https://me@ops.example", "https://ops.example:", "https://ops.example:0", "https://ops.example:99999",
		"https://öps.example", "NULL", "https://a b", "//ops.example", "https:ops.example", "",
	} {
		s := Defaults()
		s.AllowedOrigins = []string{origin}
		e, ok := errors.AsType[*Error](s.Validate())
		if !ok || e.Setting != "allowed-origins" || strings.Contains(e.Problem, "\n") {
			t.Errorf("%q: %v", origin, e)
		}
	}
}

// A path that no request can have is refused; it would match nothing.
func TestConnectPath(t *testing.T) {
	s := Defaults()
	s.ConnectPath = []string{"/", "/api/v2/connect", "/ws/"}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"", "ws", "/ws?x=1", "/ws#x", "/w%20s", "/w s", "/wé", "/health", "wss://host/ws"} {
		s.ConnectPath = []string{"/ws", path}
		if e, ok := errors.AsType[*Error](s.Validate()); !ok || e.Setting != "connect-path" || strings.Contains(e.Problem, "\n") {
			t.Errorf("%q: %v", path, e)
		}
	}
}
