// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"

	"pgregory.net/rapid"
)

// A sender is another node, as far as its announcements go: its connected gateways, and
// the announcements that have not arrived yet.
type sender struct {
	*announcer
	syncAll   bool
	connected map[string]struct{}
	sent      []announcement
}

func newSender(name string, run uint64) *sender {
	s := &sender{syncAll: true, connected: make(map[string]struct{})}
	eachLocal := func(f func(string)) {
		for id := range s.connected {
			f(id)
		}
	}
	send := func(a announcement) {
		var sent announcement // a copy that shares nothing
		if err := json.Unmarshal(marshal(&a), &sent); err != nil {
			panic(err)
		}
		s.sent = append(s.sent, sent)
	}
	s.announcer = newAnnouncer(name, run, 2, eachLocal, send)
	return s
}

// tick makes the announcement that is due.
func (s *sender) tick() {
	if s.syncAll {
		s.syncAll = false
		s.announceAll()
	} else if !s.announceChanges() {
		s.announce(announcement{})
	}
}

// A receiver is a node that receives announcements.
type receiver struct {
	*view
	t        *rapid.T
	registry *auth.Registry
	now      time.Time
	senders  []*sender
}

func newReceiver(t *rapid.T, external bool) *receiver {
	registry, err := auth.Open(context.Background(), memstore.New(), auth.Options{External: external})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	return &receiver{t: t, registry: registry, now: time.Unix(1000, 0), view: newView(registry, slog.New(slog.DiscardHandler))}
}

// receive takes the first n announcements of a sender.
func (r *receiver) receive(s *sender, n int) {
	for _, a := range s.sent[:n] {
		needSync, err := r.apply(a, r.now)
		if err != nil {
			r.t.Fatal(err)
		}
		if needSync {
			for _, s := range r.senders {
				s.syncAll = true
			}
		}
	}
	s.sent = s.sent[n:]
}

// counted returns the ids that the registry counts as connected.
func (r *receiver) counted(ids []string) (connected []string) {
	for _, id := range ids {
		if _, n, unknown := r.registry.Reach(event.Target{GatewayIDs: []string{id}}); unknown == "" && n > 0 {
			connected = append(connected, id)
		}
	}
	return connected
}

// settle lets the senders announce, with nothing lost, until no sync is requested.
func (r *receiver) settle() {
	for range 4 {
		for _, s := range r.senders {
			s.tick()
			r.receive(s, len(s.sent))
		}
	}
}

// truth returns the ids that are connected to a sender.
func (r *receiver) truth(ids []string) (connected []string) {
	for _, id := range ids {
		for _, s := range r.senders {
			if _, is := s.connected[id]; is && !slices.Contains(connected, id) {
				connected = append(connected, id)
			}
		}
	}
	return connected
}

// The registry converges to the gateways that are connected to other nodes, whichever
// announcements were lost, nodes killed and restarted, and gateways registered or
// removed. A gateway that stays connected never counts as disconnected.
func TestRegistryConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		external := rapid.Bool().Draw(t, "external")
		r := newReceiver(t, external)
		run := uint64(0)
		begin := func(i int) *sender { run++; return newSender(fmt.Sprint("node", i), run) }
		for i := range 3 {
			r.senders = append(r.senders, begin(i))
		}
		var ids []string
		for i := range 7 {
			ids = append(ids, fmt.Sprint("g", i))
		}
		registered := make(map[string]bool)
		stable := make(map[string]bool) // connected when all was settled, and unchanged since
		draw := func(of []string) string { return rapid.SampledFrom(of).Draw(t, "id") }
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(r.senders)-1).Draw(t, "sender")
			s := r.senders[i]
			switch id := draw(ids); rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1:
				s.connected[id] = struct{}{}
			case 2:
				delete(s.connected, id)
				delete(stable, id)
			case 3, 4:
				s.tick()
			case 5: // some announcements arrive
				r.receive(s, rapid.IntRange(0, len(s.sent)).Draw(t, "arrive"))
			case 6: // some are lost
				s.sent = s.sent[rapid.IntRange(0, len(s.sent)).Draw(t, "lost"):]
			case 7: // it is killed or stopped, and started again without its gateways
				if rapid.Bool().Draw(t, "stopped") {
					s.announce(announcement{Leave: true})
					r.receive(s, len(s.sent))
				}
				for id := range s.connected {
					delete(stable, id)
				}
				r.senders[i] = begin(i)
			case 8: // a gateway is registered or removed
				if registered[id] {
					if err := r.registry.Remove(context.Background(), id); err != nil {
						t.Fatal(err)
					}
					delete(stable, id)
				} else if _, _, _, err := r.registry.Add(context.Background(), auth.NewGateway{ID: id, Name: id}); err != nil {
					t.Fatal(err)
				}
				registered[id] = !registered[id]
			case 9:
				r.settle()
				for _, id := range r.truth(ids) {
					stable[id] = registered[id]
				}
			}
			for id := range stable {
				if stable[id] && len(r.counted([]string{id})) == 0 {
					t.Fatalf("%s counts as disconnected, but its connection has not changed", id)
				}
			}
		}
		r.settle()
		known := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !registered[id] && !external })
		if got, want := r.counted(known), r.truth(known); !slices.Equal(got, want) {
			t.Fatalf("counted as connected: %v, want %v", got, want)
		}
		for _, s := range r.senders { // now all disconnect
			clear(s.connected)
		}
		r.settle()
		if got := r.counted(ids); len(got) > 0 {
			t.Fatalf("%v count as connected, but none is", got)
		}
	})
}

// A full set in several parts takes effect as a whole.
func TestFullSetInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newReceiver(t, true)
		s := newSender("node", 1)
		r.senders = []*sender{s}
		var ids []string
		for i := range 5 {
			ids = append(ids, fmt.Sprint("g", i))
			s.connected[ids[i]] = struct{}{}
		}
		r.settle()
		s.syncAll = true
		s.tick()
		for len(s.sent) > 0 {
			r.receive(s, 1)
			if got := r.counted(ids); !slices.Equal(got, ids) {
				t.Fatalf("with %d parts missing, counted as connected: %v", len(s.sent), got)
			}
		}
	})
}

// A silent node counts as having no gateways, except while this node is cut off or was
// not running.
func TestSilentNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newReceiver(t, true)
		s := newSender("node", 1)
		s.connected["g"] = struct{}{}
		r.senders = []*sender{s}
		r.settle()
		connected := func() bool { return len(r.counted([]string{"g"})) > 0 }
		pass := func(d time.Duration, busConnected bool) {
			for ; d > 0; d -= announceEvery {
				r.now = r.now.Add(announceEvery)
				r.expire(r.now, busConnected)
			}
		}
		pass(peerSilence, true)
		pass(time.Minute, false)
		r.now = r.now.Add(time.Minute) // this node was not running
		r.expire(r.now, true)
		if !connected() {
			t.Fatal("it counts as silent although this node could not hear it")
		}
		pass(peerSilence+announceEvery, true)
		if connected() {
			t.Fatal("it is silent and its gateway still counts")
		}
		r.settle()
		if !connected() {
			t.Fatal("it announces again and its gateway does not count")
		}
	})
}

// An announcement fits into a message.
func TestAnnouncementFits(t *testing.T) {
	id := strings.Repeat("x", event.MaxNameLen)
	a := announcement{
		Node: id, Run: 1<<64 - 1, Seq: 1<<64 - 1, Full: true, More: true, Leave: true,
		Connected: slices.Repeat([]string{id}, 100), Disconnected: slices.Repeat([]string{id}, 100),
	}
	if n := len(marshal(&a)); n > envelopeBytes+200*gatewayBytes {
		t.Errorf("it has %d bytes", n)
	}
}

// An announcement that is parsed can be used without further checks.
func FuzzParseAnnouncement(f *testing.F) {
	f.Add("hello.a", []byte(`{"node":"a","run":1,"n":1,"full":true,"on":["g"],"off":["h"]}`))
	for _, seed := range []string{``, `{}`, `[]`, `{"node":"a"}`, `{"node":"a.b","run":1,"n":1}`, `{"node":"a","run":-1}`, `{"node":"a","run":1,"n":1,"on":["a b"]}`, `{"node":"a","run":1,"n":1,"on":"a"}`, "\xff"} {
		f.Add("hello.a", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		a, err := parseAnnouncement(subject, data)
		if err != nil {
			return
		}
		if subject != announceSubject+a.Node || !event.ValidName(a.Node) || a.Run == 0 || a.Seq == 0 || len(a.Connected) > maxGateways || len(a.Disconnected) > maxGateways {
			t.Fatalf("%+v under %q", a, subject)
		}
		for _, id := range append(a.Connected, a.Disconnected...) {
			if !event.ValidName(id) {
				t.Fatalf("it names gateway %q", id)
			}
		}
	})
}
