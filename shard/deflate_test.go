// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
)

// both posts an event with both forms. The plain form is longer by pad.
func (r *rig) both(pad int) (plain, deflated string) {
	r.seq++
	c := event.Cursor{Epoch: 7, Seq: r.seq}
	plain, deflated = fmt.Sprint(c, strings.Repeat("-", pad)), fmt.Sprint("z", r.seq)
	r.post(command{
		message: &Message{Wire: []byte(plain + "\n"), Deflated: []byte(deflated + "\n"), Cursor: c},
		to:      receivers{scope: toAll},
	})
	return plain, deflated
}

// connectDeflating is connect of a gateway that takes compressed messages.
func (r *rig) connectDeflating(gateway string, from *Resume) *pipe {
	p := r.resuming(from, gateway)
	p.deflates = true
	r.settle()
	return p
}

// Each connection gets its form, live and from the window, in any pieces; an
// event without the compressed form is plain for all.
func TestFormsOfAnEvent(t *testing.T) {
	r := newRig(Config{})
	plain, deflating := r.connect("a"), r.connectDeflating("b", nil)
	deflating.room = 0
	p, z := r.both(20)
	only := r.publish(event.Target{All: true})
	p2, z2 := r.both(20)
	r.settle()
	if got, want := deflating.receiver.(*conn).pending(), len(z+only+z2)+3; got != want {
		t.Errorf("%d bytes are queued, want %d", got, want)
	}
	for range 100 {
		deflating.give(1)
		r.settle()
	}
	back := r.connectDeflating("c", &Resume{After: 100})
	for name, tt := range map[string]struct{ got, want []string }{
		"plain":      {plain.lines(), []string{"ack", p, only, p2}},
		"deflating":  {deflating.lines(), []string{"ack", z, only, z2}},
		"the window": {back.lines(), []string{"ack", z, only, z2}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, tt.got, tt.want)
		}
	}
	if q := r.stats.QueuedBytes.Load(); q != 0 {
		t.Errorf("%d bytes still counted as queued", q)
	}
}

// The send queue counts the form that is queued.
func TestSendQueueCountsTheForm(t *testing.T) {
	r := newRig(Config{SendQueueBytes: 100})
	plain, deflating := r.connect("a"), r.connectDeflating("b", nil)
	plain.room, deflating.room = 0, 0
	for range 5 {
		r.both(40)
	}
	r.settle()
	if plain.receiver.(*conn).state == open || deflating.receiver.(*conn).state != open {
		t.Error("want the plain connection cut off as slow, and the other not")
	}
}

// The window counts both forms, and releases both.
func TestWindowCountsBothForms(t *testing.T) {
	h := newHistory(0)
	m := &Message{Wire: make([]byte, 1000), Deflated: make([]byte, 100), Cursor: event.Cursor{Epoch: 7, Seq: 1}}
	h.add(receivers{scope: toAll}, m)
	if want := 1100 + messageOverhead + entryOverhead; h.bytes != want {
		t.Errorf("%d bytes, want %d", h.bytes, want)
	}
	if h.trim(0); h.bytes != 0 {
		t.Errorf("%d bytes of nothing", h.bytes)
	}
}
