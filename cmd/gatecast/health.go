// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

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
	url, client, err := c.target(onCommandLine(k))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/ready", nil)
	if err != nil {
		return &usageError{fmt.Errorf("--internal-url: %w", err)}
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no node responds at %s: %w; is gatecast serve running there?", url, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return responseError(resp)
	}
	return nil
}

// target returns the node's URL and a client that reaches it. given has the flags of the
// command line: they precede variables, also those of another flag.
func (c *healthCmd) target(given map[string]bool) (string, *http.Client, error) {
	switch {
	case given["internal-url"] && given["internal-listen"]:
		return "", nil, &usageError{errors.New("--internal-url contradicts --internal-listen; leave one of them out")}
	case c.InternalURL != "" && !given["internal-listen"]: // a flag precedes the variable of the other
		client, err := (&adminFlags{InternalURL: c.InternalURL, InternalCA: c.InternalCA}).client()
		return c.InternalURL, client, err
	}
	addresses, err := reachable(c.InternalListen)
	if err != nil {
		return "", nil, &usageError{fmt.Errorf("--internal-listen: %w", err)}
	}
	// The certificate has the names that other machines use. Verification would add
	// nothing: the request has no secret, and the address is this machine's.
	client := &http.Client{Transport: &http.Transport{
		DialContext:       dialFirst(addresses),
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true, // the process ends after one request
	}}
	scheme := "http://"
	if c.InternalTLSCert != "" {
		scheme = "https://"
	}
	return scheme + addresses[0], client, nil
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
