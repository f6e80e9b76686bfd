// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/client/platform"
)

// A benchCmd puts load on any node, here or elsewhere. The measuring is in package bench, which
// is also what go test -bench uses; this file has flags and output only.
type benchCmd struct {
	adminFlags
	URL      string `name:"url" help:"URL of the node's gateway listener, as in wss://HOST:9243." required:"" env:"GATECAST_URL" placeholder:"URL"`
	Insecure bool   `help:"Skip verification of the node's certificates."`
	CAFile   string `name:"ca-file" help:"PEM certificates to trust. None: the system's." placeholder:"FILE"`

	Connections int           `help:"Number of connections." default:"10" placeholder:"N"`
	Gateways    int           `help:"Number of gateways that share the connections. None: one per connection." placeholder:"N"`
	Rate        int           `help:"Events per second." default:"100" placeholder:"N"`
	For         time.Duration `help:"Time to publish; Ctrl-C ends it early." default:"30s" placeholder:"TIME"`
	EventBytes  int           `help:"Bytes of an event's JSON, as published." default:"200" placeholder:"BYTES"`
	All         bool          `help:"Send each event to all connections, not to one gateway in turn."`
	Publishers  int           `help:"Publishing connections, each with its own gateways; 1 with --all." default:"8" placeholder:"N"`
	Dialers     int           `help:"Number of connections that are opened at the same time." default:"32" placeholder:"N"`
	JSON        bool          `name:"json" help:"Print the results as JSON."`
}

// maxEventBytes is a bit less than the default of the setting max-payload, 1 MiB.
const maxEventBytes = 1_000_000

// Run puts load on a node and prints what it measured. Results that exist are printed also
// after an error or a signal.
func (c *benchCmd) Run(ctx context.Context, w world) error {
	c.Gateways = cmp.Or(c.Gateways, c.Connections)
	if err := c.validate(); err != nil {
		return &usageError{err}
	}
	target, err := c.target()
	if err != nil {
		return err
	}
	if err := bench.CheckDescriptors(c.Connections); err != nil { // before gateways are registered
		return err
	}
	if target.AdminToken, err = c.adminToken(ctx, target.InternalTLS); err != nil {
		return err
	}
	r, err := bench.Load(ctx, target, bench.LoadConfig{
		Connections: c.Connections, Gateways: c.Gateways,
		Rate: c.Rate, For: c.For, EventBytes: c.EventBytes, All: c.All,
		Publishers: c.Publishers, Dialers: c.Dialers,
		Paced: func(rest time.Duration) {
			fmt.Fprintf(w.err, "gatecast: the node limits connection attempts; connecting takes about %v (start the node with --rate-limit 0 to avoid it)\n", rest.Round(time.Second))
		},
	})
	if _, measured := r.Figure("published"); !measured && err != nil {
		return c.explain(err)
	}
	return errors.Join(c.print(w, &r), err)
}

// print prints the results as a table, or as JSON with --json.
func (c *benchCmd) print(w world, r *bench.Result) error {
	if !c.JSON {
		r.WriteTable(w.out)
		return nil
	}
	out := json.NewEncoder(w.out)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// validate checks the limits of the flags.
func (c *benchCmd) validate() error {
	for _, f := range []struct {
		flag        string
		value, most int // most keeps typing errors from overloading a machine
	}{
		{"--connections", c.Connections, 1_000_000},
		{"--gateways", c.Gateways, c.Connections},
		{"--rate", c.Rate, 1_000_000},
		{"--event-bytes", c.EventBytes, maxEventBytes},
		{"--publishers", c.Publishers, 1000},
		{"--dialers", c.Dialers, 10_000},
	} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("%s: %d is out of range; want 1 to %d", f.flag, f.value, f.most)
		}
	}
	if c.For <= 0 {
		return fmt.Errorf("--for: %v is out of range; want a time above 0", c.For)
	}
	return nil
}

// target returns the node's addresses and how its certificates are verified.
func (c *benchCmd) target() (t bench.Target, err error) {
	gateways, err := serverURL("--url", c.URL, "ws", "wss")
	if err != nil {
		return t, err
	}
	internal, err := serverURL("--internal-url", c.InternalURL, "http", "https")
	if err != nil {
		return t, err
	}
	// --insecure and --ca-file are for both listeners; --internal-ca precedes them for one.
	trust, err := (&tailCmd{Insecure: c.Insecure, CAFile: c.CAFile}).trust()
	if err != nil {
		return t, err
	}
	internalTrust, err := c.adminFlags.trust()
	if err != nil {
		return t, err
	}
	return bench.Target{
		Gateways: hostPort(gateways), GatewayPath: strings.TrimSuffix(gateways.Path, "/"), TLS: trustFor(gateways, trust),
		Internal: hostPort(internal), InternalPath: strings.TrimSuffix(internal.Path, "/"), InternalTLS: trustFor(internal, cmp.Or(internalTrust, trust)),
	}, nil
}

// adminToken waits until the node is ready and returns the admin token. It uses connections
// of its own, which do not count as load.
func (c *benchCmd) adminToken(ctx context.Context, trust *tls.Config) (string, error) {
	node, err := newNode(platform.Config{URL: c.InternalURL, TLS: trust})
	if err != nil {
		return "", err
	}
	return c.awaitToken(ctx, node, true)
}

// serverURL parses the URL of a flag. It has one of two schemes, without and with TLS.
func serverURL(flag, text, clear, secure string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != clear && u.Scheme != secure || u.Hostname() == "" || u.User != nil {
		return nil, &usageError{fmt.Errorf("%s: %q is not the URL of a node; want %s://HOST:PORT or %s://HOST:PORT", flag, redacted(u), secure, clear)}
	}
	return u, nil
}

// redacted returns a URL without its password, "" for nil.
func redacted(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Redacted()
}

// isSecure reports whether a URL's scheme uses TLS.
func isSecure(u *url.URL) bool { return u.Scheme == "wss" || u.Scheme == "https" }

// hostPort returns a URL's host and port; without a port, the scheme's default.
func hostPort(u *url.URL) string {
	port := "80"
	if isSecure(u) {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// trustFor returns the TLS configuration for a server, nil for a URL without TLS.
func trustFor(u *url.URL, trust *tls.Config) *tls.Config {
	if !isSecure(u) {
		return nil
	}
	trust = trust.Clone() // both listeners can share it
	trust.ServerName = u.Hostname()
	return trust
}

// explain adds what to do to an error that came before anything was measured.
func (c *benchCmd) explain(err error) error {
	if remedy := c.remedy(err); remedy != "" {
		return fmt.Errorf("%w; %s", err, remedy)
	}
	return err
}

// remedy returns what to do about an error, "" if nothing is known.
func (c *benchCmd) remedy(err error) string {
	refused, ok := errors.AsType[*bench.RefusedError](err)
	slow, paced := errors.AsType[*bench.PaceError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case paced && slow.Made > 0:
		return fmt.Sprintf("start the node with --rate-limit 0, or use --connections %d", slow.Made)
	case ok && refused.Status == http.StatusTooManyRequests:
		return "start the node with --rate-limit 0 or a higher limit"
	case ok && refused.Code == "capacity_exceeded":
		return fmt.Sprintf("start the node with --max-connections %d or more, or use fewer --connections", c.Connections)
	case ok && refused.Status == http.StatusUnauthorized:
		return "check that --admin-token-file is the node's"
	case untrusted:
		return "give the node's certificate with --ca-file, or skip verification with --insecure"
	case isRefused(err):
		return fmt.Sprintf("is gatecast serve running at %s and %s?", c.InternalURL, c.URL)
	case errors.Is(err, context.Canceled):
		return "interrupted before anything was published"
	}
	return ""
}
