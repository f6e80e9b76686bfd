// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A limited is a server that refuses connection attempts after the first ones. It counts the
// attempts, and closes the connections that it accepts.
type limited struct {
	mu       sync.Mutex
	taken    int
	allowed  int
	refuse   int    // attempts it then refuses before it accepts the rest; -1: all
	after    string // value of the Retry-After header
	attempts int
}

func (l *limited) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts++
	if l.taken == l.allowed && l.refuse != 0 {
		l.refuse--
		w.Header().Set("Retry-After", l.after)
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"error":"rate_limited","message":"too many"}`)
		return
	}
	l.taken++
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	ack, _ := json.Marshal(map[string]any{"type": "connection.ack", "gatewayId": "g", "cursor": "e-0"})
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%s\r\n\r\n", upgradeAnswer)
	_, _ = c.Write(append([]byte{0x81, byte(len(ack))}, ack...))
	_ = c.Close()
}

func newLimited(t *testing.T, allowed, refuse int, after string) (*limited, Target) {
	l := &limited{allowed: allowed, refuse: refuse, after: after}
	s := httptest.NewServer(l)
	t.Cleanup(s.Close)
	return l, Target{Gateways: s.Listener.Addr().String()}
}

func TestPacer(t *testing.T) {
	for _, tt := range []struct {
		name            string
		allowed, refuse int
		after           string
		total           int
		waits           bool // the load waits, and connects all
		says            string
	}{
		{"no limit", 100, 0, "", 5, false, ""},
		{"a limit that is soon over", 2, 1, "1", 4, true, ""},
		{"a limit for too long", 3, -1, "60", 10, false, "it took 3 connections, and the rest would take some 7m0s"},
		{"a limit without an end", 3, -1, "", 10, false, "429"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, target := newLimited(t, tt.allowed, tt.refuse, tt.after)
			notices := 0
			p := &pacer{notice: func(time.Duration) { notices++ }}
			p.left.Store(int64(tt.total))
			var err error
			for i := 0; i < tt.total && err == nil; i++ {
				var c *peer
				if c, err = p.dial(t.Context(), target, &gateway{Token: "t"}, tt.total); err == nil {
					c.reset()
				}
			}
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v; want an error with %q", err, tt.says)
			}
			if (notices == 1) != tt.waits {
				t.Errorf("notice was called %d times", notices)
			}
			if left := p.left.Load(); err == nil && left != 0 {
				t.Errorf("%d connections are left", left)
			}
		})
	}
}

// The wait for the server's limit ends with the context.
func TestPacerInterrupted(t *testing.T) {
	_, target := newLimited(t, 0, -1, "100")
	ctx, cancel := context.WithCancel(t.Context())
	p := &pacer{notice: func(time.Duration) { cancel() }}
	p.left.Store(1)
	if _, err := p.dial(ctx, target, &gateway{Token: "t"}, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A load that the server limits ends before most of its gateways are registered, and removes them.
func TestLoadEndsEarly(t *testing.T) {
	limit, target := newLimited(t, 10, -1, "6")
	r := &registry{gateways: make(map[string]bool), most: 1 << 20}
	registered := 0
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			r.mu.Lock()
			registered++
			r.mu.Unlock()
		}
		r.ServeHTTP(w, req)
	}))
	defer inside.Close()
	target.Internal = inside.Listener.Addr().String()
	_, err := Load(t.Context(), target, LoadConfig{
		Connections: 400, Gateways: 400, Rate: 1, For: time.Second, EventBytes: 1, Publishers: 1, Dialers: 4,
	})
	slow, ok := errors.AsType[*PaceError](err)
	if !ok || slow.Made > limit.allowed || slow.Made < limit.allowed-4 { // some may not be counted yet
		t.Errorf("%v; want an error with %d connections made", err, limit.allowed)
	}
	if registered > 2*firstBatch || len(r.gateways) > 0 {
		t.Errorf("%d gateways were registered, and %v were not removed", registered, r.gateways)
	}
}

// Without a server, dial returns the error of the connection.
func TestPacerPassesErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	p := new(pacer)
	p.left.Store(1)
	if _, err := p.dial(t.Context(), Target{Gateways: ln.Addr().String()}, new(gateway), 1); err == nil || tooMany(err) != 0 {
		t.Error(err)
	}
}
