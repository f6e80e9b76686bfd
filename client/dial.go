// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/gobwas/ws"
)

// Dial opens one connection and returns it after the server's ack. If the server refuses the
// connection, the error is a [*RefusedError]. ctx bounds the attempt only; the caller closes the
// connection.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	u, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	tooLong := fmt.Errorf("no connection to %s within %v", u.Host, cfg.DialTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.DialTimeout, tooLong)
	defer cancel()
	c, err := dial(ctx, u, cfg)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx) // the attempt failed because ctx ended
	}
	return c, err
}

// dial is Dial with a validated config.
func dial(ctx context.Context, u *url.URL, cfg Config) (*Conn, error) {
	conn, early, err := upgrade(ctx, u, cfg)
	if err != nil {
		return nil, err
	}
	c := newConn(conn, early, cfg)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = c.readAck()
	if !stop() && err == nil {
		err = ctx.Err() // AfterFunc has closed the connection
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	go c.run()
	return c, nil
}

// header returns the headers of the upgrade request that are not WebSocket's own.
func (c Config) header() http.Header {
	h := http.Header{"api-key": {c.Token}}
	if c.Since != "" {
		h["Last-Event-ID"] = []string{c.Since}
	}
	if c.ReplayLatest {
		h["Replay"] = []string{"latest"}
	}
	return h
}

// upgrade opens a connection and upgrades it. early holds the bytes that the server sent directly
// after its response.
func upgrade(ctx context.Context, u *url.URL, cfg Config) (conn net.Conn, early []byte, err error) {
	var refused *RefusedError
	d := ws.Dialer{
		NetDial:   cfg.NetDial,
		TLSConfig: cfg.TLS,
		Header:    ws.HandshakeHeaderHTTP(cfg.header()),
		OnStatusError: func(_ int, _ []byte, raw io.Reader) {
			resp, err := http.ReadResponse(bufio.NewReader(raw), nil)
			if err != nil {
				return // Dial's error contains the status
			}
			defer resp.Body.Close()
			refused = readRefusal(resp)
		},
	}
	conn, br, _, err := d.Dial(ctx, u.String())
	switch {
	case refused != nil:
		return nil, nil, refused
	case err != nil:
		return nil, nil, fmt.Errorf("connecting to %s: %w", u.Host, err)
	case br != nil:
		early, _ = br.Peek(br.Buffered())
		early = slices.Clone(early) // br goes back to a pool
		ws.PutReader(br)
	}
	return conn, early, nil
}
