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
	"syscall"
	"time"

	"github.com/gatecast/gatecast/bench"
)

type benchCmd struct {
	adminFlags
	URL      string `name:"url" help:"The node's gateway listener, as in wss://HOST:9243." required:"" env:"GATECAST_URL" placeholder:"URL"`
	Insecure bool   `help:"Do not verify the node's certificates."`
	CAFile   string `name:"ca-file" help:"PEM file of the certificates to trust. Default: the system's." placeholder:"FILE"`

	Connections int           `help:"Connections to make. Default: ${default}." default:"10" placeholder:"N"`
	Gateways    int           `help:"Gateways to register, which have the connections by turns. Default: one for each." placeholder:"N"`
	Rate        int           `help:"Events a second. Default: ${default}." default:"100" placeholder:"N"`
	For         time.Duration `help:"How long to publish. Default: ${default}; Ctrl-C ends it early." default:"30s" placeholder:"TIME"`
	EventBytes  int           `help:"Size of an event as it is published. Default: ${default}." default:"200" placeholder:"BYTES"`
	All         bool          `help:"Each event is for every connection made here. Default: for one gateway, by turns."`
	Publishers  int           `help:"Connections to publish on, each for gateways of its own; with --all one. Default: ${default}." default:"8" placeholder:"N"`
	Dialers     int           `help:"Connections made at once. Default: ${default}." default:"32" placeholder:"N"`
	JSON        bool          `name:"json" help:"Print the figures as JSON."`
}

// maxEventBytes is less than a node takes by default.
const maxEventBytes = 1_000_000

// Run puts load on a node and prints what it measured.
func (c *benchCmd) Run(ctx context.Context, w world) error {
	c.Gateways = cmp.Or(c.Gateways, c.Connections)
	if err := c.validate(); err != nil {
		return &usageError{err}
	}
	target, err := c.target()
	if err != nil {
		return err
	}
	if err := bench.CheckDescriptors(c.Connections); err != nil {
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
			fmt.Fprintf(w.err, "gatecast: the node limits attempts to connect; waiting some %v for it (--rate-limit 0 turns its limit off)\n", rest.Round(time.Second))
		},
	})
	if _, measured := r.Figure("published"); !measured && err != nil {
		return c.explain(err)
	}
	return errors.Join(c.print(w, &r), err)
}

func (c *benchCmd) print(w world, r *bench.Result) error {
	if !c.JSON {
		r.WriteTable(w.out)
		return nil
	}
	out := json.NewEncoder(w.out)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

func (c *benchCmd) validate() error {
	for _, f := range []struct {
		flag        string
		value, most int
	}{
		{"--connections", c.Connections, 1_000_000},
		{"--gateways", c.Gateways, c.Connections},
		{"--rate", c.Rate, 1_000_000},
		{"--event-bytes", c.EventBytes, maxEventBytes},
		{"--publishers", c.Publishers, 1000},
		{"--dialers", c.Dialers, 10_000},
	} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("%s: want 1 to %d", f.flag, f.most)
		}
	}
	if c.For <= 0 {
		return errors.New("--for: want a time above 0")
	}
	return nil
}

// target says where the node is and how to reach it.
func (c *benchCmd) target() (t bench.Target, err error) {
	gateways, err := serverURL("--url", c.URL, "ws", "wss")
	if err != nil {
		return t, err
	}
	internal, err := serverURL("--internal-url", c.InternalURL, "http", "https")
	if err != nil {
		return t, err
	}
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

// adminToken waits for the node and returns the admin token.
func (c *benchCmd) adminToken(ctx context.Context, trust *tls.Config) (string, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer client.CloseIdleConnections()
	route, err := c.arrive(ctx, client, true)
	if err != nil {
		return "", err
	}
	return route.token, nil
}

// serverURL reads the URL of a flag, which has one of two schemes.
func serverURL(flag, text, clear, secure string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != clear && u.Scheme != secure || u.Hostname() == "" || u.User != nil {
		return nil, &usageError{fmt.Errorf("%s: want %s://HOST:PORT or %s://HOST:PORT", flag, secure, clear)}
	}
	return u, nil
}

// isSecure reports whether a URL's scheme is one with TLS.
func isSecure(u *url.URL) bool { return u.Scheme == "wss" || u.Scheme == "https" }

// hostPort returns a URL's host with the port that its scheme means, if it names
// none.
func hostPort(u *url.URL) string {
	port := "80"
	if isSecure(u) {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// trustFor returns the config for a server; nil if there is no TLS.
func trustFor(u *url.URL, trust *tls.Config) *tls.Config {
	if !isSecure(u) {
		return nil
	}
	trust = trust.Clone()
	trust.ServerName = u.Hostname()
	return trust
}

// explain says what to do about an error that kept the load from beginning.
func (c *benchCmd) explain(err error) error {
	if remedy := c.remedy(err); remedy != "" {
		return fmt.Errorf("%w; %s", err, remedy)
	}
	return err
}

func (c *benchCmd) remedy(err error) string {
	refused, ok := errors.AsType[*bench.RefusedError](err)
	slow, paced := errors.AsType[*bench.PaceError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case paced && slow.Made > 0:
		return fmt.Sprintf("start the node with --rate-limit 0, or ask for %d --connections", slow.Made)
	case ok && refused.Status == http.StatusTooManyRequests:
		return "start the node with --rate-limit 0, or a limit that this load fits in"
	case ok && refused.Code == "capacity_exceeded":
		return fmt.Sprintf("start the node with --max-connections %d or more, or ask for fewer --connections", c.Connections)
	case ok && refused.Status == http.StatusUnauthorized:
		return "is --admin-token-file the node's?"
	case untrusted:
		return "give the node's certificate with --ca-file, or do not verify it with --insecure"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("is gatecast serve running at %s and %s?", c.InternalURL, c.URL)
	case errors.Is(err, context.Canceled):
		return "it was interrupted before it published anything"
	}
	return ""
}
