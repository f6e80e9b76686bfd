// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "sort"

// A history is the events of one shard in a range of the log, in order and by receiver.
// The shard's window is a history that moves on with the log; a [page] of a scan is one
// that does not change. It is owned by the goroutine that fills it, and once handed
// over by the loop.
type history struct {
	// All events for the shard's gateways with a sequence in (after, upTo] are in it.
	after, upTo uint64

	entries       []entry // in the order of the log; entries[:head] are gone
	head          int
	bytes         int // memory that is held, estimated
	gateways      map[string]*series
	groups        map[string]*series
	organizations map[string]*series
	all           series
}

// An entry is a message under the name of one receiver. A message for several gateways
// has several entries, one after the other.
type entry struct {
	message *Message
	of      *series
}

// A series is the messages for one receiver, in the order of the log.
type series struct {
	name     string
	in       map[string]*series // the map that has it under its name; nil for history.all
	messages []*Message
}

// Estimated memory of an entry and a message besides the wire, in bytes: their slots in
// slices, and a name's in a map.
const (
	entryOverhead   = 128
	messageOverhead = 112
)

// newHistory returns an empty history that begins after a sequence.
func newHistory(after uint64) *history {
	return &history{
		after: after, upTo: after,
		gateways: make(map[string]*series), groups: make(map[string]*series), organizations: make(map[string]*series),
	}
}

// add appends a message.
func (h *history) add(to receivers, m *Message) {
	h.upTo = m.Cursor.Seq
	h.bytes += m.size() + messageOverhead
	switch to.scope {
	case toGateways:
		for _, id := range to.gateways {
			h.addTo(seriesOf(h.gateways, id), m)
		}
	case toGroup, toOrganization:
		h.addTo(seriesOf(h.sets(to.scope), to.name), m)
	case toAll:
		h.addTo(&h.all, m)
	}
}

// sets returns the series of groups or of organizations.
func (h *history) sets(kind scope) map[string]*series {
	if kind == toOrganization {
		return h.organizations
	}
	return h.groups
}

// addTo adds a message under one receiver.
func (h *history) addTo(s *series, m *Message) {
	s.messages = append(s.messages, m)
	h.entries = append(h.entries, entry{m, s})
	h.bytes += entryOverhead
}

// seriesOf returns the series with a name, a new one if there is none.
func seriesOf(in map[string]*series, name string) *series {
	s := in[name]
	if s == nil {
		s = &series{name: name, in: in}
		in[name] = s
	}
	return s
}

// trim drops the oldest messages until at most limit bytes are held.
func (h *history) trim(limit int) {
	for h.bytes > limit && h.head < len(h.entries) {
		h.dropOldest()
	}
	if h.head > len(h.entries)/2 { // cheaper than to let append grow it
		n := copy(h.entries, h.entries[h.head:])
		clear(h.entries[n:])
		h.entries, h.head = h.entries[:n], 0
	}
}

// dropOldest drops the oldest message, with all its entries.
func (h *history) dropOldest() {
	m := h.entries[h.head].message
	for h.head < len(h.entries) && h.entries[h.head].message == m {
		h.entries[h.head].of.dropOldest()
		h.entries[h.head] = entry{}
		h.head++
		h.bytes -= entryOverhead
	}
	h.bytes -= m.size() + messageOverhead
	h.after = m.Cursor.Seq
}

// dropOldest drops the first message, and the series with its last message.
func (s *series) dropOldest() {
	s.messages[0] = nil
	s.messages = s.messages[1:]
	if len(s.messages) == 0 && s.in != nil {
		delete(s.in, s.name)
	}
}

// next returns the first message for a gateway after a sequence, or nil.
func (h *history) next(g *gateway, after uint64) *Message {
	first := h.gateways[g.id].next(max(after, g.own))
	for i := range g.sets {
		m := &g.sets[i]
		first = earlier(first, h.sets(m.kind)[m.name].next(max(after, m.barrier)))
	}
	return earlier(first, h.all.next(max(after, g.all)))
}

// each calls f with every message for a gateway after a sequence, in no order.
func (h *history) each(g *gateway, after uint64, f func(*Message)) {
	call := func(s *series, barrier uint64) {
		for _, m := range s.after(max(after, barrier)) {
			f(m)
		}
	}
	call(h.gateways[g.id], g.own)
	for _, m := range g.sets {
		call(h.sets(m.kind)[m.name], m.barrier)
	}
	call(&h.all, g.all)
}

// after returns the messages after a sequence. A nil series is empty.
func (s *series) after(after uint64) []*Message {
	if s == nil || len(s.messages) == 0 || s.messages[len(s.messages)-1].Cursor.Seq <= after {
		return nil
	}
	return s.messages[sort.Search(len(s.messages), func(i int) bool { return s.messages[i].Cursor.Seq > after }):]
}

// next returns the first message after a sequence, or nil.
func (s *series) next(after uint64) *Message {
	if list := s.after(after); len(list) > 0 {
		return list[0]
	}
	return nil
}

// earlier returns the message that is first in the log. Nil is no message.
func earlier(a, b *Message) *Message {
	if a == nil || b != nil && b.Cursor.Seq < a.Cursor.Seq {
		return b
	}
	return a
}

// len returns the number of entries.
func (h *history) len() int { return len(h.entries) - h.head }
