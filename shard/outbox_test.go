// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "testing"

// The pool releases what was not needed between two trims, and keeps the rest.
func TestOutboxPoolTrims(t *testing.T) {
	var p outboxPool
	use := func(n int) {
		var used []*outbox
		for range n {
			used = append(used, p.get())
		}
		for _, o := range used {
			p.put(o)
		}
	}
	use(100)
	p.trim()
	if len(p.free) != 100 {
		t.Errorf("%d outboxes are left of 100 that were in use a moment ago", len(p.free))
	}
	use(30)
	p.trim()
	if len(p.free) != 30 {
		t.Errorf("%d outboxes are left, 30 were needed", len(p.free))
	}
	p.trim()
	if len(p.free) != 0 {
		t.Errorf("%d outboxes are left that were not needed", len(p.free))
	}
}

// An outbox from the pool has nothing of its last use.
func TestOutboxPoolForgets(t *testing.T) {
	var p outboxPool
	o := p.get()
	m := &Message{Wire: []byte("x")}
	o.queue.push(m)
	o.first, o.reply, o.gaugeBytes, o.stallDue = m, m, 1, 7
	p.put(o)
	got := p.get()
	if got != o {
		t.Fatal("the pool did not keep the outbox")
	}
	if !got.queue.empty() || got.queue.bytes != 0 || got.first != nil || got.reply != nil || got.gaugeBytes != 0 || got.stallDue != never {
		t.Errorf("the pool gave out %+v", got)
	}
	if msgs := got.queue.msgs[:cap(got.queue.msgs)]; msgs[0] != nil {
		t.Error("a message is kept alive")
	}
}
