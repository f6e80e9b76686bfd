// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// DefaultPath is where gatecast takes connections.
const DefaultPath = "/api/internal/v1/ws/gateways/connect"

// longest is the most that BackoffMax may be.
const longest = 24 * time.Hour

// A Config says where to connect and as whom. URL and Token are required, and
// Handler for [Run].
type Config struct {
	// URL is the server's, as in wss://gatecast.example:9243. A URL without a
	// path gets [DefaultPath]. With ws the token crosses the network in clear
	// text.
	URL string
	// Token is the gateway's secret. No error or state of this package contains
	// it.
	Token string
	// TLS is for wss; nil trusts the system's roots.
	TLS *tls.Config
	// NetDial opens the connection under TLS; nil uses a net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Since is the position to go on from: the id of an event, or the cursor of an
	// [Ack]. Empty begins with what is published from now on. Run begins there,
	// unless Cursor has a position, and then goes on from where it was.
	Since string
	// ReplayLatest leaves out, of the events that were missed, those for which there
	// is a newer one with the same key.
	ReplayLatest bool

	// Handler receives the events of [Run], one at a time, and says what became of
	// each: nil, that it is applied, or why it could not be. The server is told,
	// and the event counts as received. While Handler works, Buffer bytes of later
	// events are received and pings are answered; beyond that the server is kept
	// waiting, and takes the gateway for a slow consumer in the end. Its context
	// ends with Run's; an error that Handler returns then is taken for that, and
	// the event comes again.
	Handler func(ctx context.Context, e Event) error
	// OnResync is called by [Run], between events, when the gateway has missed
	// events that the server cannot send any more: it should fetch what it needs
	// from the platform. Its context ends with Run's; a resync during which it has
	// ended comes again. Nil ignores it.
	OnResync func(ctx context.Context, r Resync)
	// Cursor keeps Run's position, so that another process can go on from it; nil
	// keeps it in memory.
	Cursor CursorStore
	// NoAcks does not tell the server what became of events.
	NoAcks bool
	// OnState is told what becomes of the connection of [Run], between events
	// and on the same goroutine; nil is told nothing.
	OnState func(State)

	// BackoffMin and BackoffMax bound what [Run] waits between attempts: a
	// random time up to BackoffMin after the first failure, up to twice that
	// after the second, and so on up to BackoffMax. 0 means 1 s and 60 s.
	BackoffMin, BackoffMax time.Duration
	// DialTimeout bounds an attempt, from opening the connection to the ack. 0
	// means 30 s.
	DialTimeout time.Duration
	// Silence is how long the server may send nothing, not even a ping, before
	// the connection counts as dead. 0 means 60 s, which is three pings.
	Silence time.Duration
	// ReadLimit bounds one message, in bytes. 0 means 8 MiB.
	ReadLimit int
	// Buffer is how many bytes of events, as they arrived, may wait to be taken.
	// 0 means 4 MiB.
	Buffer int
}

// withDefaults returns the config with nothing left at zero that means
// something else.
func (c Config) withDefaults() Config {
	c.BackoffMin = cmp.Or(c.BackoffMin, min(time.Second, cmp.Or(c.BackoffMax, time.Second)))
	c.BackoffMax = cmp.Or(c.BackoffMax, max(c.BackoffMin, time.Minute))
	c.DialTimeout = cmp.Or(c.DialTimeout, 30*time.Second)
	c.Silence = cmp.Or(c.Silence, time.Minute)
	c.ReadLimit = cmp.Or(c.ReadLimit, 8<<20)
	c.Buffer = cmp.Or(c.Buffer, 4<<20)
	if c.Cursor == nil {
		c.Cursor = new(MemoryCursor)
	}
	if c.OnResync == nil {
		c.OnResync = func(context.Context, Resync) {}
	}
	if c.NetDial == nil {
		c.NetDial = new(net.Dialer).DialContext
	}
	if c.OnState == nil {
		c.OnState = func(State) {}
	}
	return c
}

// validate checks a config that has its defaults.
func (c Config) validate() error {
	switch {
	case c.Token == "":
		return errors.New("client: Config.Token is missing: want the token that registering the gateway gave")
	case strings.ContainsFunc(c.Token, notPrintable):
		return errors.New("client: Config.Token has a character that no header can carry: was a line break read with it?")
	case strings.ContainsFunc(c.Since, notPrintable):
		return errors.New("client: Config.Since has a character that no header can carry: want the id of an event")
	case c.BackoffMin < 0 || c.BackoffMax < c.BackoffMin || c.BackoffMax > longest:
		return fmt.Errorf("client: Config.BackoffMin is %v and BackoffMax %v: want them from 0s to %v, the first no more than the second", c.BackoffMin, c.BackoffMax, longest)
	case c.DialTimeout < 0 || c.Silence < 0:
		return fmt.Errorf("client: Config.DialTimeout is %v and Silence %v: want neither below zero", c.DialTimeout, c.Silence)
	case c.ReadLimit < 0 || c.Buffer < 0:
		return fmt.Errorf("client: Config.ReadLimit is %d and Buffer %d: want neither below zero", c.ReadLimit, c.Buffer)
	}
	return nil
}

func notPrintable(r rune) bool { return r <= ' ' || r >= 0x7f }

// endpoint returns the URL to connect to. Its errors do not quote the URL, in
// which someone may have put a secret.
func (c Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("client: Config.URL is no URL: want wss://HOST:PORT")
	}
	switch {
	case u.Scheme != "wss" && u.Scheme != "ws":
		return nil, fmt.Errorf("client: Config.URL has the scheme %q: want wss://HOST:PORT", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("client: Config.URL names no host: want wss://HOST:PORT")
	case u.User != nil:
		return nil, errors.New("client: Config.URL has a user in it: the token belongs in Config.Token")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = DefaultPath
	}
	return u, nil
}
