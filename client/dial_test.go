// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name       string
		status     int
		retryAfter string
		body       string
		want       RefusedError
		text       string
	}{
		{"unauthorized", 401, "", `{"error":"unauthorized","message":"the token is not valid"}`,
			RefusedError{401, "unauthorized", "the token is not valid", 0},
			`refused with status 401 "unauthorized": "the token is not valid"`},
		{"rate limited", 429, "7", `{"error":"rate_limited","message":"slow down"}`,
			RefusedError{429, "rate_limited", "slow down", 7 * time.Second},
			`refused with status 429 "rate_limited": "slow down"`},
		{"a proxy's own page", 502, "", "<html>", RefusedError{502, "", "", 0}, "refused with status 502"},
		{"a redirect", 302, "", "", RefusedError{302, "", "", 0}, "refused with status 302"},
		{"a response that is not an upgrade", 200, "", `{"status":"ok"}`, RefusedError{200, "", "", 0}, "refused with status 200"},
		{"control characters", 503, "", `{"error":"\u001b[2J","message":"a\nb"}`,
			RefusedError{503, "\x1b[2J", "a\nb", 0}, `refused with status 503 "\x1b[2J": "a\nb"`},
		{"a message that is too long", 503, "", `{"message":"` + strings.Repeat("a", maxRefusal) + `"}`,
			RefusedError{503, "", "", 0}, "refused with status 503"},
		{"half a body", 403, "", `{"error":"forbidden","mess`, RefusedError{403, "", "", 0}, "refused with status 403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer srv.Close()
			_, err := Dial(t.Context(), tlsConfig(srv))
			e, ok := errors.AsType[*RefusedError](err)
			if !ok || *e != tt.want || e.Error() != tt.text {
				t.Errorf("got %v, want %s", err, tt.text)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"30":                            30 * time.Second,
		"-30":                           0,
		"soon":                          0,
		"999999999":                     time.Hour,
		"99999999999999999999":          0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:00:00 GMT": 0,
		"Fri, 02 Jan 2099 03:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

func TestUntrustedCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = discard
	srv.StartTLS()
	defer srv.Close()
	cfg := tlsConfig(srv)
	cfg.TLS = nil
	_, err := Dial(t.Context(), cfg)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("got %v, want a certificate error", err)
	}
}

func TestDialTakesTooLong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server func(net.Conn)
	}{
		{"no response", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }},
		{"no ack", func(conn net.Conn) {
			upgradeInto(t, conn, conn)
			_, _ = io.Copy(io.Discard, conn)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, cfg, ctx := servePipes(t, tt.server)
				start := time.Now()
				_, err := Dial(ctx, cfg)
				if err == nil || err.Error() != "no connection to gatecast.test within 30s" {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != 30*time.Second {
					t.Errorf("gave up after %v", took)
				}
			})
		})
	}
}

func TestDialCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg, ctx := servePipes(t, func(conn net.Conn) {
			upgradeInto(t, conn, conn)
			_, _ = io.Copy(io.Discard, conn)
		})
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(time.Second, func() { cancel(enough) })
		if _, err := Dial(ctx, cfg); err != enough {
			t.Errorf("got %v, want %v", err, enough)
		}
	})
}

// The end of Dial's context does not end the connection.
func TestConnOutlivesDialContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg, _ := servePipes(t, upgraded(t, func(p *peer) {
			p.pinged("")
			p.event(1)
			p.closedNormally()
		}))
		ctx, cancel := context.WithCancel(t.Context())
		c, err := Dial(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if e, err := c.Next(t.Context()); err != nil || e.ID != "k3f9-1" {
			t.Errorf("got %v, %v", e, err)
		}
		_ = c.Close()
	})
}

func TestConfigErrors(t *testing.T) {
	good := Config{URL: "wss://gatecast.test:9243", Token: testToken, Handler: func(context.Context, Event) error { return nil }}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no token", func(c *Config) { c.Token = "" }, "Config.Token is missing"},
		{"line break after the token", func(c *Config) { c.Token += "\n" }, "line break"},
		{"not ASCII", func(c *Config) { c.Token = "gé" + testToken }, "not allowed in a header"},
		{"no URL", func(c *Config) { c.URL = "" }, "want wss://HOST:PORT"},
		{"http", func(c *Config) { c.URL = "https://gatecast.test" }, `the scheme "https"`},
		{"no host", func(c *Config) { c.URL = "wss:///path" }, "has no host"},
		{"invalid URL", func(c *Config) { c.URL = "wss://h:port-" + testToken }, "is not a URL"},
		{"token in the URL", func(c *Config) { c.URL = "wss://" + testToken + "@gatecast.test" }, "put the token into Config.Token"},
		{"negative backoff", func(c *Config) { c.BackoffMin = -1 }, "BackoffMin"},
		{"BackoffMin above BackoffMax", func(c *Config) { c.BackoffMin, c.BackoffMax = 2, 1 }, "BackoffMin <= BackoffMax"},
		{"backoff of years", func(c *Config) { c.BackoffMax = 1 << 62 }, "BackoffMax"},
		{"negative Silence", func(c *Config) { c.Silence = -1 }, "Silence"},
		{"negative DialTimeout", func(c *Config) { c.DialTimeout = -1 }, "DialTimeout"},
		{"negative ReadLimit", func(c *Config) { c.ReadLimit = -1 }, "ReadLimit"},
		{"negative Buffer", func(c *Config) { c.Buffer = -1 }, "Buffer"},
		{"no handler", func(c *Config) { c.Handler = nil }, "Config.Handler is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			cfg.NetDial = func(context.Context, string, string) (net.Conn, error) {
				t.Error("dialed")
				return nil, io.EOF
			}
			tt.change(&cfg)
			calls := []func() error{func() error { return Run(t.Context(), cfg) }}
			if cfg.Handler != nil {
				calls = append(calls, func() error { _, err := Dial(t.Context(), cfg); return err })
			}
			for _, call := range calls {
				err := call()
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want something about %q", err, tt.want)
				}
				if err != nil && strings.Contains(err.Error(), testToken) {
					t.Errorf("the error contains the token: %v", err)
				}
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"wss://h:9243":        "wss://h:9243" + DefaultPath,
		"wss://h:9243/":       "wss://h:9243" + DefaultPath,
		"ws://[::1]:80":       "ws://[::1]:80" + DefaultPath,
		"wss://h/under/proxy": "wss://h/under/proxy",
	} {
		u, err := Config{URL: in}.endpoint()
		if err != nil || u.String() != want {
			t.Errorf("endpoint of %s: %v, %v, want %s", in, u, err, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Config{}.withDefaults()
	if c.BackoffMin != time.Second || c.BackoffMax != time.Minute || c.Silence != time.Minute {
		t.Errorf("got %v, %v, %v", c.BackoffMin, c.BackoffMax, c.Silence)
	}
	if c := (Config{BackoffMax: 10}).withDefaults(); c.BackoffMin != 10 {
		t.Errorf("BackoffMin is %v above BackoffMax", c.BackoffMin)
	}
	if c := (Config{BackoffMin: time.Hour}).withDefaults(); c.BackoffMax != time.Hour {
		t.Errorf("BackoffMax is %v below BackoffMin", c.BackoffMax)
	}
}
