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

// DefaultPath is the path of gatecast's connect route.
const DefaultPath = "/api/internal/v1/ws/gateways/connect"

// longest is the maximum of Config.BackoffMax.
const longest = 24 * time.Hour

// A Config is the server to connect to, the gateway's credentials, and options. URL and Token are
// required; [Run] also requires Handler.
type Config struct {
	// URL of the server, for example wss://gatecast.example:9243. Without a path, [DefaultPath]
	// is used. With the scheme ws, the token is sent in clear text.
	URL string
	// Token is the gateway's secret. No error and no [State] of this package contains it.
	Token string
	// TLS configures wss. Nil trusts the roots of the system.
	TLS *tls.Config
	// NetDial opens the TCP connection. Nil uses a [net.Dialer].
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Since is the position to resume after: the id of an event, or the cursor of an [Ack]. Empty
	// means that only events published from now on are sent. Run uses it only while Cursor has
	// no position.
	Since string
	// ReplayLatest skips a missed event if a newer event has the same key.
	ReplayLatest bool

	// Handler receives the events of [Run], one at a time. It returns nil if the event was
	// applied, and otherwise why it could not be; Run reports either to the server, and then
	// sends no event twice. While Handler runs, up to Buffer bytes of later events are read and
	// pings are answered. A Handler that is slower for long makes the server close with
	// [CloseTryAgainLater]. The context ends with Run's. An error returned after that is
	// not reported, and the event is sent again on the next connection.
	Handler func(ctx context.Context, e Event) error
	// OnResync is called by [Run], between events, when the gateway has missed events that the
	// server no longer has. It should fetch its state from the platform. The context ends with
	// Run's; if it ends during the call, the resync is repeated on the next connection. Nil
	// ignores resyncs.
	OnResync func(ctx context.Context, r Resync)
	// Cursor stores Run's position, so that another process can resume from it. Nil keeps the
	// position in memory.
	Cursor CursorStore
	// NoAcks disables the reports of Handler's results to the server.
	NoAcks bool
	// OnState receives each change of Run's connection, between events and on the same
	// goroutine. Nil ignores them.
	OnState func(State)

	// BackoffMin and BackoffMax bound the waits of [Run] between attempts: a random time up to
	// BackoffMin after the first failure, up to twice that after the second, and so on up to
	// BackoffMax. 0 means 1 s and 60 s. BackoffMax is at most 24 h.
	BackoffMin, BackoffMax time.Duration
	// DialTimeout bounds one attempt, from opening the connection to the ack. 0 means 30 s.
	DialTimeout time.Duration
	// Silence is the time without a frame from the server, pings included, after which the
	// connection counts as lost. 0 means 60 s, which is three ping intervals.
	Silence time.Duration
	// ReadLimit is the largest message accepted, in bytes. 0 means 8 MiB.
	ReadLimit int
	// Buffer is the number of bytes of events, as received, that can wait for Handler or
	// [Conn.Next]. 0 means 4 MiB.
	Buffer int
}

// withDefaults returns the config with each zero field replaced by its default.
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

// validate checks a config after withDefaults.
func (c Config) validate() error {
	switch {
	case c.Token == "":
		return errors.New("client: Config.Token is missing: set it to the token that the gateway got when it was registered")
	case strings.ContainsFunc(c.Token, notPrintable):
		return errors.New("client: Config.Token has a character that is not allowed in a header: does it end with a line break?")
	case strings.ContainsFunc(c.Since, notPrintable):
		return errors.New("client: Config.Since has a character that is not allowed in a header: want the id of an event")
	case c.BackoffMin < 0 || c.BackoffMax < c.BackoffMin || c.BackoffMax > longest:
		return fmt.Errorf("client: Config.BackoffMin is %v and BackoffMax %v: want 0s <= BackoffMin <= BackoffMax <= %v", c.BackoffMin, c.BackoffMax, longest)
	case c.DialTimeout < 0 || c.Silence < 0:
		return fmt.Errorf("client: Config.DialTimeout is %v and Silence %v: want neither to be negative", c.DialTimeout, c.Silence)
	case c.ReadLimit < 0 || c.Buffer < 0:
		return fmt.Errorf("client: Config.ReadLimit is %d and Buffer %d: want neither to be negative", c.ReadLimit, c.Buffer)
	}
	return nil
}

func notPrintable(r rune) bool { return r <= ' ' || r >= 0x7f }

// endpoint returns the URL to connect to. Its errors do not quote the URL, which may contain a
// secret.
func (c Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("client: Config.URL is not a URL: want wss://HOST:PORT")
	}
	switch {
	case u.Scheme != "wss" && u.Scheme != "ws":
		return nil, fmt.Errorf("client: Config.URL has the scheme %q: want wss://HOST:PORT", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("client: Config.URL has no host: want wss://HOST:PORT")
	case u.User != nil:
		return nil, errors.New("client: Config.URL contains a user: put the token into Config.Token")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = DefaultPath
	}
	return u, nil
}
