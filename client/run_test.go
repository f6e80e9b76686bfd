// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What Run does after each kind of refusal and end of a connection.
func TestRunAfter(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name     string
		server   func(t *testing.T) func(net.Conn)
		from, to time.Duration // the wait; none when Run returns
	}{
		{"close 1000", closing(CloseNormal), 1 * second, 10 * second},
		{"close 1001", closing(CloseGoingAway), 1 * second, 10 * second},
		{"close 1012", closing(CloseServiceRestart), 1 * second, 10 * second},
		{"close 1002", closing(CloseProtocolError), 0, 1 * second},
		{"close 1003", closing(CloseUnsupportedData), 0, 1 * second},
		{"close without a code", closing(CloseNoStatus), 0, 1 * second},
		{"close 1007", closing(CloseInvalidData), 0, 1 * second},
		{"close 1008", closing(ClosePolicyViolation), 0, 0},
		{"close 1009", closing(CloseMessageTooBig), 0, 1 * second},
		{"close 1011", closing(CloseInternalError), 0, 1 * second},
		{"close 1013", closing(CloseTryAgainLater), 0, 1 * second},
		{"connection lost", func(t *testing.T) func(net.Conn) { return upgraded(t, func(*peer) {}) }, 0, 1 * second},
		{"lost before a response", func(*testing.T) func(net.Conn) { return func(net.Conn) {} }, 0, 1 * second},
		{"400", refusing(400, ""), 0, 1 * second},
		{"401", refusing(401, ""), 0, 0},
		{"403", refusing(403, ""), 0, 0},
		{"404", refusing(404, ""), 0, 0},
		{"409", refusing(409, ""), 0, 0},
		{"422", refusing(422, ""), 0, 0},
		{"426", refusing(426, ""), 0, 1 * second},
		{"429 with Retry-After", refusing(429, "Retry-After: 30\r\n"), 30 * second, 31 * second},
		{"500", refusing(500, ""), 0, 1 * second},
		{"503", refusing(503, ""), 0, 1 * second},
		{"503 with Retry-After", refusing(503, "Retry-After: 120\r\n"), 120 * second, 121 * second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cfg, ctx := servePipes(t, tt.server(t))
				var waits []time.Duration
				cfg.OnState = func(s State) {
					if s.Phase == Waiting {
						waits = append(waits, s.Wait)
					}
				}
				err := Run(ctx, cfg)
				if tt.to == 0 {
					if len(p.dialed) != 1 || err == nil || !strings.HasPrefix(err.Error(), "client: not reconnecting: ") {
						t.Errorf("after %d attempts: %v", len(p.dialed), err)
					}
					return
				}
				if len(p.dialed) != 2 || !errors.Is(err, context.Canceled) {
					t.Fatalf("after %d attempts: %v", len(p.dialed), err)
				}
				waited := p.dialed[1].Sub(p.dialed[0])
				if waited < tt.from || waited > tt.to {
					t.Errorf("waited %v, want from %v to %v", waited, tt.from, tt.to)
				}
				if !slices.Equal(waits, []time.Duration{waited}) {
					t.Errorf("waited %v, and reported %v", waited, waits)
				}
			})
		})
	}
}

func closing(code CloseCode) func(*testing.T) func(net.Conn) {
	return func(t *testing.T) func(net.Conn) { return closesWith(t, code) }
}

func refusing(status int, header string) func(*testing.T) func(net.Conn) {
	return func(t *testing.T) func(net.Conn) { return refuses(t, status, header, `{"error":"e","message":"m"}`) }
}

// The error of Run distinguishes a refusal from a close.
func TestRunErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg, ctx := servePipes(t, refuses(t, 401, "", `{"error":"unauthorized","message":"no"}`))
		err := Run(ctx, cfg)
		if e, ok := errors.AsType[*RefusedError](err); !ok || e.Status != 401 || e.Code != "unauthorized" {
			t.Errorf("refused: got %v", err)
		}
		_, cfg, ctx = servePipes(t, closesWith(t, ClosePolicyViolation))
		err = Run(ctx, cfg)
		if e, ok := errors.AsType[*CloseError](err); !ok || e.Code != ClosePolicyViolation {
			t.Errorf("closed: got %v", err)
		}
	})
}

func TestRunReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sends := func(events ...int) func(net.Conn) {
			return upgraded(t, func(p *peer) {
				for _, n := range events {
					p.event(n)
				}
				p.close(CloseTryAgainLater, "")
				p.closed(CloseTryAgainLater)
			})
		}
		_, cfg, ctx := servePipes(t, sends(1, 2), refuses(t, 503, "", ""), sends(3))
		var calls []string
		cfg.Handler = func(_ context.Context, e Event) error { calls = append(calls, e.ID); return nil }
		cfg.OnState = func(s State) {
			switch s.Phase {
			case Connected:
				calls = append(calls, fmt.Sprint("connected as ", s.Ack.GatewayID))
			case Waiting:
				calls = append(calls, fmt.Sprint("waiting: ", s.Err))
			default:
				calls = append(calls, s.Phase.String())
			}
		}
		if err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want := []string{
			"connecting", "connected as gw-1", "k3f9-1", "k3f9-2", "waiting: closed by the server with code 1013",
			"connecting", "waiting: refused with status 503",
			"connecting", "connected as gw-1", "k3f9-3", "waiting: closed by the server with code 1013",
			"connecting",
		}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A connection that lasted longer than the maximum wait resets the backoff.
func TestRunStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scripts := slices.Repeat([]func(net.Conn){refuses(t, 500, "", "")}, 9)
		scripts = append(scripts, upgraded(t, func(p *peer) {
			time.Sleep(time.Minute - time.Nanosecond)
			p.pinged("")
			time.Sleep(time.Nanosecond)
			p.close(CloseTryAgainLater, "")
			p.closed(CloseTryAgainLater)
		}))
		_, cfg, ctx := servePipes(t, scripts...)
		var last time.Duration
		cfg.OnState = func(s State) {
			if s.Phase == Waiting {
				last = s.Wait
			}
		}
		_ = Run(ctx, cfg)
		if last > time.Second {
			t.Errorf("waited %v after a connection that lasted", last)
		}
	})
}

// Run closes its connection when its context ends, in each phase.
func TestRunEnds(t *testing.T) {
	enough := errors.New("enough")
	for _, tt := range []struct {
		name   string
		server func(*testing.T) func(net.Conn)
	}{
		{"connected", func(t *testing.T) func(net.Conn) {
			return upgraded(t, func(p *peer) {
				for range 100 {
					p.event(1)
				}
				p.closedNormally()
			})
		}},
		{"waiting", refusing(429, "Retry-After: 3600\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, cfg, ctx := servePipes(t, tt.server(t))
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(90*time.Second, func() { cancel(enough) })
				cfg.Silence = time.Hour
				handled := 0
				cfg.Handler = func(context.Context, Event) error { handled++; time.Sleep(time.Second); return nil }
				start := time.Now()
				if err := Run(ctx, cfg); err != enough {
					t.Errorf("got %v, want %v", err, enough)
				}
				if took := time.Since(start); took > 92*time.Second {
					t.Errorf("ended %v after its context", took-90*time.Second)
				}
				if handled > 91 {
					t.Errorf("handled %d events, some after the context had ended", handled)
				}
			})
		})
	}
}

func TestPhaseString(t *testing.T) {
	for p, want := range map[Phase]string{Connecting: "connecting", Connected: "connected", Waiting: "waiting", 9: "Phase(9)"} {
		if p.String() != want {
			t.Errorf("Phase %d is %q, want %q", int(p), p, want)
		}
	}
}
