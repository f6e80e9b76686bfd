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

	"github.com/alecthomas/kong"
)

// healthCmd has the settings of serve that say where its internal route is, so that
// a container's health check needs no others.
type healthCmd struct {
	Config          kong.ConfigFlag `help:"The node's configuration file." placeholder:"FILE" env:"GATECAST_CONFIG"`
	InternalListen  string          `help:"Where the node on this machine listens. Default: ${default}." default:"127.0.0.1:9244" env:"GATECAST_INTERNAL_LISTEN" placeholder:"ADDR"`
	InternalTLSCert string          `name:"internal-tls-cert" help:"Its certificate there. None: it speaks plain HTTP." env:"GATECAST_INTERNAL_TLS_CERT" placeholder:"FILE"`
	InternalTLSKey  string          `name:"internal-tls-key" help:"Not used; taken so that the node's flags can be given." env:"GATECAST_INTERNAL_TLS_KEY" placeholder:"FILE"`

	InternalURL string        `name:"internal-url" help:"The internal route of a node elsewhere, instead." env:"GATECAST_INTERNAL_URL" placeholder:"URL"`
	InternalCA  string        `name:"internal-ca" help:"PEM file of the certificates to trust at that URL. Default: the system's." env:"GATECAST_INTERNAL_CA" placeholder:"FILE"`
	Timeout     time.Duration `help:"How long to wait for an answer. Default: ${default}." default:"2s" placeholder:"TIME"`
}

// Help says what the flags do not.
func (c *healthCmd) Help() string {
	return `Reads the same flags, environment and configuration file as serve, and asks the node on this
machine. --internal-url asks another one; on the command line, it and --internal-listen contradict
each other, and either comes before the environment.`
}

// Run asks the node whether it is ready.
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
		return fmt.Errorf("no node answers at %s: %w", url, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answerError(resp)
	}
	return nil
}

// onCommandLine returns which flags the command line has, by name.
func onCommandLine(k *kong.Context) map[string]bool {
	given := make(map[string]bool)
	for _, p := range k.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag.Name] = true
		}
	}
	return given
}

// target returns the node's URL and how to reach it.
func (c *healthCmd) target(given map[string]bool) (string, *http.Client, error) {
	switch {
	case given["internal-url"] && given["internal-listen"]:
		return "", nil, &usageError{errors.New("--internal-url contradicts --internal-listen: leave one of them out")}
	case c.InternalURL != "" && !given["internal-listen"]:
		client, err := (&adminFlags{InternalURL: c.InternalURL, InternalCA: c.InternalCA}).client()
		return c.InternalURL, client, err
	}
	addresses, err := reachable(c.InternalListen)
	if err != nil {
		return "", nil, &usageError{fmt.Errorf("--internal-listen: %w", err)}
	}
	// The certificate is for the names that others use, and nothing secret is sent: it
	// is enough that the node on this machine answers.
	client := &http.Client{Transport: &http.Transport{
		DialContext:       dialFirst(addresses),
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}}
	scheme := "http://"
	if c.InternalTLSCert != "" {
		scheme = "https://"
	}
	return scheme + addresses[0], client, nil
}

// reachable returns where a listener on this machine can be reached, by the address
// it was given: loopback, if that stands for all addresses.
func reachable(listen string) ([]string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address; want host:port or :port", listen)
	}
	if port == "0" || port == "" {
		return nil, fmt.Errorf("%q leaves the port to the system; give --internal-url", listen)
	}
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

// dialFirst returns a function that connects to the first address that answers.
func dialFirst(addresses []string) func(ctx context.Context, network, _ string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
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
