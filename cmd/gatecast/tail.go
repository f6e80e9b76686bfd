// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/internal/certs"
)

// A tailCmd connects as a gateway, with the same client package as real gateways. Standard
// output has events only, one per line, so that it can be piped; changes of the connection go
// to standard error.
type tailCmd struct {
	URL      string `name:"url" help:"URL of the node's gateway listener, as in wss://HOST:9243." required:"" env:"GATECAST_URL" placeholder:"URL"`
	Token    string `help:"Token of the gateway. Other users can see flags, not variables." required:"" env:"GATECAST_TOKEN" placeholder:"T"`
	Since    string `help:"Resume after this event id. None: only new events." placeholder:"ID"`
	Latest   bool   `help:"With --since, replay only the newest event of each key."`
	Ack      bool   `help:"Acknowledge each event as applied, as a gateway does."`
	Insecure bool   `help:"Skip verification of the node's certificate."`
	CAFile   string `name:"ca-file" help:"PEM certificates to trust. None: the system's." placeholder:"FILE"`
}

// Run prints events until a signal.
func (c *tailCmd) Run(ctx context.Context, w world) error {
	trust, err := c.trust()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx) // the cause is a failed write, which must not be retried
	defer cancel(nil)
	err = client.Run(ctx, client.Config{
		URL:          c.URL,
		Token:        c.Token,
		TLS:          trust,
		Since:        c.Since,
		ReplayLatest: c.Latest,
		NoAcks:       !c.Ack, // a person who watches must not make the platform believe that events were applied
		Handler: func(_ context.Context, e client.Event) error {
			_, err := fmt.Fprintf(w.out, "%s\n", e.Raw)
			if err != nil {
				cancel(fmt.Errorf("write events: %w", err))
			}
			return err
		},
		OnResync: func(_ context.Context, r client.Resync) {
			fmt.Fprintf(w.err, "gatecast: some events are no longer retained (%s); resuming after %s\n", r.Reason, r.Cursor)
		},
		OnState: func(s client.State) { printState(w.err, s) },
	})
	if errors.Is(err, context.Canceled) { // a signal is the normal end of a tail
		return nil
	}
	return err
}

// trust returns how the node's certificate is verified: by --ca-file, by the system's roots,
// or not at all with --insecure.
func (c *tailCmd) trust() (*tls.Config, error) {
	if c.CAFile == "" {
		return &tls.Config{InsecureSkipVerify: c.Insecure}, nil
	}
	roots, err := certs.LoadPool(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	return &tls.Config{RootCAs: roots, InsecureSkipVerify: c.Insecure}, nil
}

// printState prints a change of the connection's state. It never prints the token.
func printState(out io.Writer, s client.State) {
	switch s.Phase {
	case client.Connected:
		fmt.Fprintf(out, "gatecast: connected as gateway %s, connection %s, at %s\n", s.Ack.GatewayID, s.Ack.ConnectionID, s.Ack.Cursor)
	case client.Waiting:
		fmt.Fprintf(out, "gatecast: %v; next attempt in %v\n", s.Err, s.Wait.Round(100*time.Millisecond))
	}
}
