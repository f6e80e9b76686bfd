// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

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

// A speaker is another node, as far as its hellos go: who is connected to it, and what it
// has said that has not arrived yet.
type speaker struct {
	*peers
	connected map[string]struct{}
	sent      []hello
}

func newSpeaker(name string, run uint64) *speaker {
	s := &speaker{connected: make(map[string]struct{})}
	s.peers = &peers{
		name: name, run: run, most: 2,
		told: make(map[string]struct{}), spare: make(map[string]struct{}),
		here: func(f func(string)) {
			for id := range s.connected {
				f(id)
			}
		},
		send: func(h hello) {
			var sent hello // what is in it is not shared
			if err := json.Unmarshal(marshal(&h), &sent); err != nil {
				panic(err)
			}
			s.sent = append(s.sent, sent)
		},
	}
	s.asked.Store(true)
	return s
}

// tick says what the node would say then.
func (s *speaker) tick() {
	if s.asked.Swap(false) {
		s.sayAll()
	} else if !s.sayChanges() {
		s.say(hello{})
	}
}

// A listener is a node that hears hellos.
type listener struct {
	*peers
	t        *rapid.T
	open     bool
	at       time.Time
	speakers []*speaker
}

func newListener(t *rapid.T, open bool) *listener {
	registry, err := auth.Open(context.Background(), memstore.New(), auth.Options{External: open})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	return &listener{t: t, open: open, at: time.Unix(1000, 0), peers: &peers{name: "listener", registry: registry, logger: slog.New(slog.DiscardHandler), nodes: make(map[string]*peer)}}
}

func (l *listener) hear(s *speaker, n int) {
	for _, h := range s.sent[:n] {
		ask, err := l.peers.hear(h, l.at)
		if err != nil {
			l.t.Fatal(err)
		}
		if ask {
			for _, s := range l.speakers {
				s.asked.Store(true)
			}
		}
	}
	s.sent = s.sent[n:]
}

// counts returns who is connected elsewhere, as the registry has it.
func (l *listener) counts(ids []string) (on []string) {
	for _, id := range ids {
		if _, connected, unknown := l.registry.Reach(event.Target{GatewayIDs: []string{id}}); unknown == "" && connected > 0 {
			on = append(on, id)
		}
	}
	return on
}

// settle has the speakers talk, with nothing lost, until nobody asks for more.
func (l *listener) settle() {
	for range 4 {
		for _, s := range l.speakers {
			s.tick()
			l.hear(s, len(s.sent))
		}
	}
}

// truth returns which ids are connected to a speaker.
func (l *listener) truth(ids []string) (on []string) {
	for _, id := range ids {
		for _, s := range l.speakers {
			if _, there := s.connected[id]; there && !slices.Contains(on, id) {
				on = append(on, id)
			}
		}
	}
	return on
}

// What a node knows of who is connected elsewhere comes to the truth, whatever was lost,
// whichever nodes were killed and started again, and whenever it learned of a gateway.
// While nothing changes at a gateway, the node never takes it for disconnected.
func TestHellosComeToTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newListener(t, rapid.Bool().Draw(t, "open"))
		run := uint64(0)
		begin := func(i int) *speaker { run++; return newSpeaker(fmt.Sprint("node", i), run) }
		for i := range 3 {
			l.speakers = append(l.speakers, begin(i))
		}
		var ids []string
		for i := range 7 {
			ids = append(ids, fmt.Sprint("g", i))
		}
		registered := make(map[string]bool)
		still := make(map[string]bool) // was connected when all was settled, and has not changed since
		draw := func(of []string) string { return rapid.SampledFrom(of).Draw(t, "id") }
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(l.speakers)-1).Draw(t, "speaker")
			s := l.speakers[i]
			switch id := draw(ids); rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1:
				s.connected[id] = struct{}{}
			case 2:
				delete(s.connected, id)
				delete(still, id)
			case 3, 4:
				s.tick()
			case 5: // some of what was said arrives
				l.hear(s, rapid.IntRange(0, len(s.sent)).Draw(t, "arrive"))
			case 6: // some is lost
				s.sent = s.sent[rapid.IntRange(0, len(s.sent)).Draw(t, "lost"):]
			case 7: // it is killed, or stopped, and started again; its gateways go elsewhere
				if rapid.Bool().Draw(t, "stopped") {
					s.say(hello{Bye: true})
					l.hear(s, len(s.sent))
				}
				for id := range s.connected {
					delete(still, id)
				}
				l.speakers[i] = begin(i)
			case 8: // the registry learns of a gateway, or that it was removed
				if registered[id] {
					if err := l.registry.Remove(context.Background(), id); err != nil {
						t.Fatal(err)
					}
					delete(still, id)
				} else if _, _, _, err := l.registry.Add(context.Background(), auth.NewGateway{ID: id, Name: id}); err != nil {
					t.Fatal(err)
				}
				registered[id] = !registered[id]
			case 9:
				l.settle()
				for _, id := range l.truth(ids) {
					still[id] = registered[id]
				}
			}
			for id := range still {
				if still[id] && len(l.counts([]string{id})) == 0 {
					t.Fatalf("%s is taken for disconnected, and nothing has changed at it", id)
				}
			}
		}
		l.settle()
		known := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !registered[id] && !l.open })
		if got, want := l.counts(known), l.truth(known); !slices.Equal(got, want) {
			t.Fatalf("connected are %v, want %v", got, want)
		}
		for _, s := range l.speakers { // and from there all go
			clear(s.connected)
		}
		l.settle()
		if got := l.counts(ids); len(got) > 0 {
			t.Fatalf("%v are taken for connected, and nobody is", got)
		}
	})
}

// A full hello in several parts takes effect as a whole.
func TestFullHelloInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newListener(t, true)
		s := newSpeaker("node", 1)
		l.speakers = []*speaker{s}
		var ids []string
		for i := range 5 {
			ids = append(ids, fmt.Sprint("g", i))
			s.connected[ids[i]] = struct{}{}
		}
		l.settle()
		s.asked.Store(true)
		s.tick()
		for len(s.sent) > 0 {
			l.hear(s, 1)
			if got := l.counts(ids); !slices.Equal(got, ids) {
				t.Fatalf("with %d parts to come, connected are %v", len(s.sent), got)
			}
		}
	})
}

// A node that says nothing counts as having nobody, but not while this one is cut off
// from it or stood still.
func TestSilentPeer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newListener(t, true)
		s := newSpeaker("node", 1)
		s.connected["g"] = struct{}{}
		l.speakers = []*speaker{s}
		l.settle()
		there := func() bool { return len(l.counts([]string{"g"})) > 0 }
		pass := func(d time.Duration, connected bool) {
			for ; d > 0; d -= helloChanges {
				l.at = l.at.Add(helloChanges)
				l.miss(l.at, connected)
			}
		}
		pass(peerSilence, true)
		pass(time.Minute, false)
		l.at = l.at.Add(time.Minute) // it stood still
		l.miss(l.at, true)
		if !there() {
			t.Fatal("it is taken for silent, and this node could not hear")
		}
		pass(peerSilence+helloChanges, true)
		if there() {
			t.Fatal("it is silent, and still counts")
		}
		l.settle()
		if !there() {
			t.Fatal("it speaks again, and does not count")
		}
	})
}

// A hello fits into what the server takes.
func TestHelloFits(t *testing.T) {
	id := strings.Repeat("x", event.MaxNameLen)
	h := hello{Node: id, Run: 1<<64 - 1, N: 1<<64 - 1, Full: true, More: true, Bye: true, On: slices.Repeat([]string{id}, 100), Off: slices.Repeat([]string{id}, 100)}
	if n := len(marshal(&h)); n > helloBytes+200*idBytes {
		t.Errorf("it has %d bytes", n)
	}
}
