// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/stats"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is the state of one shard without a loop: the test owns its inbox and its
// clock.
type rig struct {
	*state
	time    time.Time
	rings   int
	seq     uint64
	notices []Notice
}

func newRig(cfg Config) *rig {
	r := &rig{time: time.Unix(1_000_000, 0)}
	cfg.Start = event.Cursor{Epoch: 7, Seq: 100}
	cfg.Notify = func(n Notice) { r.notices = append(r.notices, n) }
	r.seq = cfg.Start.Seq
	r.state = newState(cfg.withDefaults(), 3, stats.NewShard(), func() { r.rings++ }, func() time.Time { return r.time })
	return r
}

// post adds a command; settle applies it.
func (r *rig) post(cmd command) { r.pending = append(r.pending, cmd) }

// settle runs turns until no work is left, and returns how many.
func (r *rig) settle() (turns int) {
	for turns = 1; r.turn(r.time); turns++ {
		if turns > 1_000_000 {
			panic("the shard does not settle")
		}
	}
	return turns
}

// wait advances the clock, with its ticks.
func (r *rig) wait(d time.Duration) {
	for ; d > 0; d -= tick {
		r.time = r.time.Add(min(d, tick))
		r.tick(r.time)
		r.settle()
	}
}

// connect opens a connection of a gateway and settles.
func (r *rig) connect(gateway string, groups ...string) *pipe {
	p := r.connecting(gateway, groups...)
	r.settle()
	return p
}

// resume opens a connection of a gateway with a position, and settles.
func (r *rig) resume(after uint64, gateway string, groups ...string) *pipe {
	p := r.resuming(&Resume{After: after}, gateway, groups...)
	r.settle()
	return p
}

// resuming posts a connection that resumes.
func (r *rig) resuming(from *Resume, gateway string, groups ...string) *pipe {
	p := &pipe{room: unlimited, live: new(atomic.Int32)}
	registration := p.registration(gateway, groups...)
	registration.Resume = from
	r.post(command{register: registration})
	return p
}

// connecting posts a connection.
func (r *rig) connecting(gateway string, groups ...string) *pipe {
	return r.connectingWith("", gateway, groups...)
}

// connectingWith is connecting with an upgrade response.
func (r *rig) connectingWith(response, gateway string, groups ...string) *pipe {
	p := &pipe{room: unlimited, live: new(atomic.Int32), response: response}
	r.post(command{register: p.registration(gateway, groups...)})
	return p
}

// publish posts an event and returns its text.
func (r *rig) publish(t event.Target) string {
	r.seq++
	c := event.Cursor{Epoch: 7, Seq: r.seq}
	m := &Message{Wire: fmt.Appendf(nil, "%v\n", c), Cursor: c, Published: r.time.UnixNano()}
	r.post(command{message: m, to: receiversOf(t)})
	return c.String()
}

// receiversOf returns the receivers of a target whose gateways are all the shard's.
func receiversOf(t event.Target) receivers {
	switch {
	case t.All:
		return receivers{scope: toAll}
	case t.Group != "":
		return receivers{scope: toGroup, name: t.Group}
	case t.OrganizationID != "":
		return receivers{scope: toOrganization, name: t.OrganizationID}
	}
	return receivers{gateways: t.GatewayIDs}
}

func to(gateways ...string) event.Target { return event.Target{GatewayIDs: gateways} }

const unlimited = 1 << 60

// A pipe is an in-memory transport. It holds what was written as lines.
type pipe struct {
	receiver Receiver
	live     *atomic.Int32
	revoked  *event.CloseReason

	room     int // bytes that it still takes
	seal     int // like TLS, it takes up to this many bytes at once and keeps what does not fit; 0: it keeps none
	deflates bool
	response string
	held     []byte
	wrote    bytes.Buffer
	writes   int
	short    bool // Writable must be called
	closed   int
	shut     bool // CloseWrite was called
	released int  // Registration.Closed was called
	fail     error
}

func (p *pipe) registration(gateway string, groups ...string) *Registration {
	return &Registration{
		Peer: Peer{
			GatewayID: gateway, TokenID: "token of " + gateway, Groups: groups, Live: p.live,
			Revoked: func() (event.CloseReason, bool) {
				if p.revoked == nil {
					return 0, false
				}
				return *p.revoked, true
			},
		},
		ID:              uuid.New(),
		UpgradeResponse: []byte(p.response),
		Open: func(_ *poller.Loop, r Receiver) (Transport, error) {
			p.receiver = r
			return p, p.fail
		},
		Closed: func() { p.released++ },
	}
}

func (p *pipe) Start() {}

func (p *pipe) Write(vec [][]byte) (n int, err error) {
	p.writes++
	p.held = p.held[p.through(p.held):]
	for _, b := range vec {
		for len(b) > 0 && len(p.held) == 0 {
			took := p.through(b)
			if took == 0 && p.seal > 0 {
				took = min(len(b), p.seal)
				p.held = append([]byte(nil), b[:took]...)
			}
			if took == 0 {
				break
			}
			n, b = n+took, b[took:]
		}
		if len(b) > 0 {
			p.short = true
			break
		}
	}
	p.short = p.short || len(p.held) > 0
	return n, p.fail
}

// through takes the bytes that there is room for.
func (p *pipe) through(b []byte) int {
	n := min(len(b), p.room)
	p.wrote.Write(b[:n])
	p.room -= n
	return n
}

func (p *pipe) Deflates() bool { return p.deflates }

func (p *pipe) Unsent() int { return len(p.held) }

func (p *pipe) Encode(text []byte) []byte               { return append([]byte("ack "), append(text, '\n')...) }
func (p *pipe) Ping() []byte                            { return []byte("ping\n") }
func (p *pipe) CloseFrame(why event.CloseReason) []byte { return fmt.Appendf(nil, "close %v\n", why) }
func (p *pipe) CloseWrite()                             { p.shut = true }
func (p *pipe) Close()                                  { p.closed++ }

// give makes room for n more bytes.
func (p *pipe) give(n int) {
	p.room += n
	if p.short && p.closed == 0 && n > 0 {
		p.short = false
		p.receiver.Writable()
	}
}

// lines returns the whole lines that arrived, the ack cut to its first word.
func (p *pipe) lines() []string {
	whole, _, _ := cutLast(p.wrote.String(), "\n")
	if whole == "" {
		return nil
	}
	lines := strings.Split(whole, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "ack ") {
			lines[i] = "ack"
		}
	}
	return lines
}

// events returns the whole events that arrived.
func (p *pipe) events() (events []string) {
	for _, l := range p.lines() {
		if _, err := event.ParseCursor(l); err == nil {
			events = append(events, l)
		}
	}
	return events
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// count returns how many notices are of a kind.
func (r *rig) count(kind NoticeKind) (n int) {
	for _, notice := range r.notices {
		if notice.Kind == kind {
			n++
		}
	}
	return n
}

// lastDisconnect returns the last notice of a disconnect.
func (r *rig) lastDisconnect(t *testing.T) Notice {
	t.Helper()
	for i := len(r.notices) - 1; i >= 0; i-- {
		if r.notices[i].Kind == Disconnected {
			return r.notices[i]
		}
	}
	t.Fatal("no connection was closed")
	return Notice{}
}
