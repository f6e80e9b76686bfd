// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// wantOver calls do until the connection is closed for it, and returns how often.
func (r *rig) wantOver(t *testing.T, p *pipe, atMost int, do func()) (times int) {
	t.Helper()
	c := p.receiver.(*conn)
	for ; c.state == open; times++ {
		if times > atMost {
			t.Fatalf("still open after %d times", times)
		}
		do()
	}
	r.settle()
	if d := c.reason; d != event.RateExceeded {
		t.Errorf("ended for %v", d)
	}
	return times
}

// A peer can send ten seconds' worth at once, and then at the rate.
func TestRateLimitOfMessages(t *testing.T) {
	for name, send := range map[string]func(*pipe){
		"messages": func(p *pipe) { p.receiver.Message([]byte(`{"type":"x"}`)) },
		"pings":    func(p *pipe) { p.receiver.Reply([]byte("pong\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(Config{ReadMessages: 5, PingInterval: time.Hour, Timeout: 2 * time.Hour})
			p, other := r.connect("g"), r.connect("g")
			for range 60 {
				for range 5 {
					send(p)
				}
				r.wait(time.Second)
				p.receiver.BytesReceived(1)
			}
			if n := r.wantOver(t, p, 100, func() { send(p) }); n != 51 {
				t.Errorf("%d at once", n)
			}
			if p.receiver.BytesReceived(1) {
				t.Error("it is heard on")
			}
			lines := p.lines()
			if last := lines[len(lines)-1]; last != "close rate_exceeded" {
				t.Errorf("last line %q", last)
			}
			if other.receiver.(*conn).state != open {
				t.Error("another one ended")
			}
		})
	}
}

// Answers to events are free: one per event sent.
func TestRateLimitOfAnswers(t *testing.T) {
	r := newRig(Config{ReadMessages: 1})
	p := r.connect("g")
	const events = 500
	for range events {
		r.publish(to("g"))
	}
	r.settle()
	ack := func() { p.receiver.Message([]byte(`{"type":"event.ack","id":"1-1"}`)) }
	if n := r.wantOver(t, p, 2*events, ack); n != events+11 {
		t.Errorf("%d messages at once", n)
	}
}

func TestRateLimitOfBytes(t *testing.T) {
	r := newRig(Config{ReadBytes: 1000})
	p := r.connect("g")
	if n := r.wantOver(t, p, 100, func() { p.receiver.BytesReceived(500) }); n != 21 {
		t.Errorf("%d times 500 bytes", n)
	}
	unbounded := newRig(Config{}).connect("g")
	for range 1000 {
		unbounded.receiver.BytesReceived(1 << 20)
		unbounded.receiver.Message([]byte(`{}`))
	}
	if unbounded.receiver.(*conn).state != open {
		t.Error("closed although there is no bound")
	}
}
