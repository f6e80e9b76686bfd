// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "sort"

// A history is a stretch of the log as far as one shard is concerned: its events
// in order, and by whom they are for. A shard's window is one that moves on with
// the log; a [page] of a scan is one that does not. It is owned by whoever fills
// it; once filled and handed over, by the loop.
type history struct {
	// Every event of the shard's gateways behind after, up to upTo, is in it.
	after, upTo uint64

	entries  []entry // in the order of the log; entries[:head] are gone
	head     int
	bytes    int // what is held, about
	gateways map[string]*series
	groups   map[string]*series
	all      series
}

// An entry is a message under one of its receivers' names. A message for several
// gateways has several, one behind the other.
type entry struct {
	message *Message
	of      *series
}

// A series is the messages under one name, in the order of the log.
type series struct {
	name     string
	in       map[string]*series // the map that has it under its name; nil for all
	messages []*Message
}

// What an entry and a message take besides the wire, about, in bytes: their
// places in slices, and a name's in a map.
const (
	entryOverhead   = 128
	messageOverhead = 112
)

func newHistory(after uint64) *history {
	return &history{
		after: after, upTo: after,
		gateways: make(map[string]*series), groups: make(map[string]*series),
	}
}

// add puts a message behind all others.
func (h *history) add(to receivers, m *Message) {
	h.upTo = m.Cursor.Seq
	h.bytes += m.size() + messageOverhead
	switch to.scope {
	case toGateways:
		for _, id := range to.gateways {
			h.addTo(seriesOf(h.gateways, id), m)
		}
	case toGroup:
		h.addTo(seriesOf(h.groups, to.group), m)
	case toAll:
		h.addTo(&h.all, m)
	}
}

func (h *history) addTo(s *series, m *Message) {
	s.messages = append(s.messages, m)
	h.entries = append(h.entries, entry{m, s})
	h.bytes += entryOverhead
}

func seriesOf(in map[string]*series, name string) *series {
	s := in[name]
	if s == nil {
		s = &series{name: name, in: in}
		in[name] = s
	}
	return s
}

// trim forgets the oldest messages until no more than limit bytes are held.
func (h *history) trim(limit int) {
	for h.bytes > limit && h.head < len(h.entries) {
		h.forgetOldest()
	}
	if h.head > len(h.entries)/2 { // cheaper than letting append grow it
		n := copy(h.entries, h.entries[h.head:])
		clear(h.entries[n:])
		h.entries, h.head = h.entries[:n], 0
	}
}

func (h *history) forgetOldest() {
	m := h.entries[h.head].message
	for h.head < len(h.entries) && h.entries[h.head].message == m {
		h.entries[h.head].of.forgetOldest()
		h.entries[h.head] = entry{}
		h.head++
		h.bytes -= entryOverhead
	}
	h.bytes -= m.size() + messageOverhead
	h.after = m.Cursor.Seq
}

func (s *series) forgetOldest() {
	s.messages[0] = nil
	s.messages = s.messages[1:]
	if len(s.messages) == 0 && s.in != nil {
		delete(s.in, s.name)
	}
}

// next returns the first message behind a place in the log that is for a
// gateway, or nil.
func (h *history) next(g *gateway, after uint64) *Message {
	first := h.gateways[g.id].next(max(after, g.own))
	for i := range g.groups {
		m := &g.groups[i]
		first = earlier(first, h.groups[m.group].next(max(after, m.barrier)))
	}
	return earlier(first, h.all.next(max(after, g.all)))
}

// each calls f with every message behind a place that is for a gateway, in no order.
func (h *history) each(g *gateway, after uint64, f func(*Message)) {
	call := func(s *series, barrier uint64) {
		for _, m := range s.behind(max(after, barrier)) {
			f(m)
		}
	}
	call(h.gateways[g.id], g.own)
	for _, m := range g.groups {
		call(h.groups[m.group], m.barrier)
	}
	call(&h.all, g.all)
}

// behind returns the messages behind a place. A nil series is empty.
func (s *series) behind(after uint64) []*Message {
	if s == nil || len(s.messages) == 0 || s.messages[len(s.messages)-1].Cursor.Seq <= after {
		return nil
	}
	return s.messages[sort.Search(len(s.messages), func(i int) bool { return s.messages[i].Cursor.Seq > after }):]
}

// next returns the first message behind a place, or nil.
func (s *series) next(after uint64) *Message {
	if list := s.behind(after); len(list) > 0 {
		return list[0]
	}
	return nil
}

// earlier returns the message that comes first in the log; nil is no message.
func earlier(a, b *Message) *Message {
	if a == nil || b != nil && b.Cursor.Seq < a.Cursor.Seq {
		return b
	}
	return a
}

// len returns how many entries are held.
func (h *history) len() int { return len(h.entries) - h.head }
