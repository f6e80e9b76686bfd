// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/gatecast/gatecast/client/platform"
	"github.com/gatecast/gatecast/internal/settings"

	"github.com/alecthomas/kong"
)

// A healthCmd finds the node by serve's own settings, so that a container's health check
// needs no others.
type healthCmd struct {
	Config kong.ConfigFlag `help:"YAML file of the node's settings." placeholder:"FILE" env:"GATECAST_CONFIG"`
	settings.Internal

	InternalURL string        `name:"internal-url" help:"Internal route of another node. None: the one on this machine." env:"GATECAST_INTERNAL_URL" placeholder:"URL" group:"Another node"`
	InternalCA  string        `name:"internal-ca" help:"PEM certificates to trust at that URL. None: the system's." env:"GATECAST_INTERNAL_CA" placeholder:"FILE" group:"Another node"`
	Timeout     time.Duration `help:"Time to wait for the response." default:"2s" placeholder:"TIME"`
}

// Run asks the node whether it is ready: GET /ready, which needs no token. It does not wait for
// a node that is starting, unlike client commands: whoever runs the check repeats it.
func (c *healthCmd) Run(ctx context.Context, k *kong.Context) error {
	cfg, err := c.target(onCommandLine(k))
	if err != nil {
		return err
	}
	node, err := newNode(cfg)
	if err != nil {
		return err
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err = node.Ready(ctx)
	if _, responded := errors.AsType[*platform.Error](err); err != nil && !responded {
		return fmt.Errorf("no node responds at %s: %w; is gatecast serve running there?", cfg.URL, err)
	}
	return err
}

// target returns how to reach the node. given has the flags of the command line: they precede
// variables, also those of another flag.
func (c *healthCmd) target(given map[string]bool) (cfg platform.Config, err error) {
	switch {
	case given["internal-url"] && given["internal-listen"]:
		return cfg, &usageError{errors.New("--internal-url contradicts --internal-listen; leave one of them out")}
	case c.InternalURL != "" && !given["internal-listen"]: // a flag precedes the variable of the other
		cfg.URL = c.InternalURL
		cfg.TLS, err = (&adminFlags{InternalCA: c.InternalCA}).trust()
		return cfg, err
	}
	addresses, err := reachable(c.InternalListen)
	if err != nil {
		return cfg, &usageError{fmt.Errorf("--internal-listen: %w", err)}
	}
	scheme := "http://"
	if c.InternalTLSCert != "" {
		scheme = "https://"
	}
	return platform.Config{
		URL:     scheme + addresses[0],
		NetDial: dialFirst(addresses),
		// The certificate has the names that other machines use. Verification would add
		// nothing: the request has no secret, and the address is this machine's.
		TLS: &tls.Config{InsecureSkipVerify: true},
	}, nil
}

// reachable returns the addresses at which a listener on this machine can be reached: the
// loopback ones if it listens on all addresses.
func reachable(listen string) ([]string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address; want HOST:PORT or :PORT", listen)
	}
	if port == "0" || port == "" {
		return nil, fmt.Errorf("%q has no fixed port; give --internal-url", listen)
	}
	// A machine can be without IPv4 or without IPv6, so there are two addresses to try.
	four, six := net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && ip.IsUnspecified() && ip.Is4():
		return []string{four, six}, nil
	case err == nil && ip.IsUnspecified():
		return []string{six, four}, nil
	}
	return []string{net.JoinHostPort(host, port)}, nil
}

// dialFirst returns a dial function that tries the addresses in turn.
func dialFirst(addresses []string) func(ctx context.Context, network, _ string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) { // the request's URL has addresses[0]
		var list []error
		for _, a := range addresses {
			c, err := new(net.Dialer).DialContext(ctx, network, a)
			if err == nil {
				return c, nil
			}
			list = append(list, err)
		}
		return nil, errors.Join(list...)
	}
}
