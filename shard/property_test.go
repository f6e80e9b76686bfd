// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"pgregory.net/rapid"
)

// A modelConn is what a connection should receive: every event for its gateway from its
// registration on, in order, until it was closed.
type modelConn struct {
	*pipe
	gateway string
	groups  []string
	org     string
	want    []string
	live    bool // not kicked, closed or lost by the test
}

// A model drives a shard by random steps and knows what each connection should have
// received.
type model struct {
	*rig
	conns []*modelConn
}

var modelGroups = map[string][]string{"a": {"x"}, "b": {"x", "y"}, "c": nil}

// Organizations and groups of one name differ.
var modelOrganizations = map[string]string{"a": "x", "b": "z", "c": "x"}

var modelTargets = []event.Target{
	to("a"), to("b"), to("c"), to("a", "c"), {Group: "x"}, {Group: "y"}, {All: true},
	{OrganizationID: "x"}, {OrganizationID: "z"}, {OrganizationID: "y"},
}

func (m *model) steps() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"connect": func(t *rapid.T) {
			gateway := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "gateway")
			c := &modelConn{gateway: gateway, groups: modelGroups[gateway], org: modelOrganizations[gateway], live: true}
			c.pipe = &pipe{room: unlimited, live: new(atomic.Int32)}
			registration := c.registration(gateway, c.groups...)
			registration.Peer.OrganizationID = c.org
			m.post(command{register: registration})
			c.seal = rapid.SampledFrom([]int{0, 10, 60}).Draw(t, "seal")
			c.room = rapid.SampledFrom([]int{unlimited, unlimited, 0, 40, 500}).Draw(t, "room")
			m.conns = append(m.conns, c)
		},
		"publish": func(t *rapid.T) {
			target := rapid.SampledFrom(modelTargets).Draw(t, "target")
			for range rapid.IntRange(1, 12).Draw(t, "times") {
				id := m.publish(target)
				for _, c := range m.conns {
					if c.live && c.isFor(target) {
						c.want = append(c.want, id)
					}
				}
			}
		},
		"turn":   func(t *rapid.T) { m.turn(m.time) },
		"settle": func(t *rapid.T) { m.settle() },
		"wait": func(t *rapid.T) {
			for _, c := range m.conns {
				if c.receiver != nil && c.closed == 0 {
					c.receiver.Alive()
				}
			}
			m.wait(time.Duration(rapid.IntRange(1, 8000).Draw(t, "ms")) * time.Millisecond)
		},
		"read": func(t *rapid.T) {
			if c := m.any(t); c != nil {
				c.give(rapid.IntRange(1, 300).Draw(t, "bytes"))
			}
		},
		"kick": func(t *rapid.T) {
			gateway := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "gateway")
			m.settle() // the model knows no commands in between
			for _, c := range m.conns {
				if c.gateway == gateway {
					c.live = false
				}
			}
			m.post(command{do: func(s *state) { s.kick(gateway, "", event.GatewayRemoved) }})
		},
		"close": func(t *rapid.T) {
			if c := m.any(t); c != nil {
				m.settle()
				c.live = false
				if c.closed == 0 {
					c.receiver.PeerClosed([]byte("reply\n"))
				}
			}
		},
		"lose": func(t *rapid.T) {
			if c := m.any(t); c != nil {
				m.settle()
				c.live = false
				if c.closed == 0 {
					c.receiver.Lost(nil)
				}
			}
		},
		"": m.check,
	}
}

func (c *modelConn) isFor(t event.Target) bool {
	return t.All || slices.Contains(t.GatewayIDs, c.gateway) || t.Group != "" && slices.Contains(c.groups, t.Group) || t.OrganizationID != "" && t.OrganizationID == c.org
}

// any returns one of the connections that are registered.
func (m *model) any(t *rapid.T) *modelConn {
	var registered []*modelConn
	for _, c := range m.conns {
		if c.receiver != nil {
			registered = append(registered, c)
		}
	}
	if len(registered) == 0 {
		return nil
	}
	return rapid.SampledFrom(registered).Draw(t, "connection")
}

// check checks, after every step, that what arrived is the beginning of what should.
func (m *model) check(t *rapid.T) {
	for i, c := range m.conns {
		got := c.events()
		if len(got) > len(c.want) || !slices.Equal(got, c.want[:len(got)]) {
			t.Fatalf("connection %d of %s got %v, want the beginning of %v", i, c.gateway, got, c.want)
		}
		if lines := c.lines(); len(got) > 0 && lines[0] != "ack" {
			t.Fatalf("connection %d began with %q", i, lines[0])
		}
		if c.closed > 1 || c.released > 1 || c.released < c.closed {
			t.Fatalf("connection %d: closed %d times, released %d times", i, c.closed, c.released)
		}
	}
}

// finish lets everything settle and checks the final state.
func (m *model) finish(t *rapid.T) {
	for {
		m.settle()
		progress := false
		for _, c := range m.conns {
			if c.receiver != nil && c.closed == 0 && c.room < unlimited {
				c.give(unlimited)
				progress = true
			}
		}
		if !progress {
			break
		}
	}
	m.check(t)
	open := 0
	for i, c := range m.conns {
		cn := c.receiver.(*conn)
		if cn.state == 0 {
			open++
			if len(c.events()) != len(c.want) {
				t.Fatalf("connection %d of %s is open and has %d of %d events", i, c.gateway, len(c.events()), len(c.want))
			}
		}
	}
	live := 0
	for _, g := range m.gateways {
		live += len(g.conns)
	}
	if live != open {
		t.Fatalf("%d connections are open, gateways have %d", open, live)
	}
	m.wait(10 * time.Second) // close timeouts pass
	if n := m.state.conns.len(); n != open || m.stats.Connections.Load() != int64(open) {
		t.Fatalf("%d connections left, counted as %d, want %d", n, m.stats.Connections.Load(), open)
	}
	if q := m.stats.QueuedBytes.Load(); q != 0 {
		t.Fatalf("%d bytes counted as queued, want 0", q)
	}
}

// For any interleaving of connects, publishes, kicks, slow readers and closes, each
// connection gets its gateway's events in order, none twice, none missing until it
// closes.
func TestPropertyOrderedDelivery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{rig: newRig(Config{SendQueueBytes: 200, StallTimeout: 20 * time.Second, PingInterval: 3 * time.Second})}
		t.Repeat(m.steps())
		m.finish(t)
	})
}

// A queue returns what was pushed, however many bytes are taken at a time.
func TestPropertyQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			pool      outboxPool
			o         = pool.get()
			want, got []byte
			n         int
		)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 9).Draw(t, "times") {
					m := &Message{Wire: fmt.Appendf(nil, "<%d>", n)}
					n++
					o.queue.push(m)
					want = append(want, m.Wire...)
				}
			},
			"take": func(t *rapid.T) {
				vec, total := o.queue.gather(nil, rapid.IntRange(1, 6).Draw(t, "slices"), 1000)
				take := rapid.IntRange(0, total).Draw(t, "bytes")
				for left := take; left > 0 && len(vec) > 0; vec = vec[1:] {
					b := vec[0][:min(left, len(vec[0]))]
					got = append(got, b...)
					left -= len(b)
				}
				o.queue.advance(take, func(*Message) {})
				if o.queue.empty() {
					pool.put(o)
					o = pool.get()
				}
			},
			"": func(t *rapid.T) {
				if !slices.Equal(got, want[:len(got)]) || o.queue.bytes != len(want)-len(got) {
					t.Fatalf("got %q of %q, %d bytes queued", got, want, o.queue.bytes)
				}
			},
		})
	})
}

// A wheel returns each connection in the tick of its deadline, however time jumps.
func TestPropertyWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := wheel{tick: tick}
		due := map[*conn]instant{}
		now := instant(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				c := &conn{link: wheelLink{slot: -1}}
				due[c] = now + instant(rapid.Int64Range(0, int64(40*time.Second)).Draw(t, "in"))
				w.add(c, due[c])
			},
			"sooner": func(t *rapid.T) {
				for c := range due {
					at := now + instant(rapid.Int64Range(0, int64(40*time.Second)).Draw(t, "in"))
					w.sooner(c, at)
					due[c] = min(due[c], at)
					return
				}
			},
			"remove": func(t *rapid.T) {
				for c := range due {
					w.remove(c)
					delete(due, c)
					return
				}
			},
			"advance": func(t *rapid.T) {
				now += instant(rapid.SampledFrom([]time.Duration{0, tick / 3, tick, 3 * tick, 10 * time.Second, 10 * time.Minute}).Draw(t, "by"))
				w.advance(now, func(c *conn) {
					if _, ok := due[c]; !ok {
						t.Fatal("one that was removed, or twice")
					}
					if due[c] > now {
						t.Fatalf("%v too early", time.Duration(due[c]-now))
					}
					delete(due, c)
				})
				for c, at := range due {
					if at <= now-instant(tick) {
						t.Fatalf("one due at %v is still there at %v (slot %d)", at, now, c.link.slot)
					}
				}
			},
		})
	})
}
