// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
)

// tellEvery is how often it is reported how far connections have come.
const tellEvery = time.Second

// A Report tells what gateways have received and said. It is the receiver's to
// keep.
type Report struct {
	// Epoch is the newest of the lineage that sequences in the report are of.
	Epoch    uint64
	Progress []tracker.Progress
	Starts   []ConnectionStart
	Inbound  []Inbound
	// Now: it is to be written down at once.
	Immediate bool
}

// A Began reports where a connection begins, before anything is sent to it: every event
// for its gateway after At is queued for it, or a later Began of it says otherwise.
type ConnectionStart struct {
	GatewayID string
	After     uint64
	// Resumed: the gateway named the position itself, and so has every event for it
	// since one of its earlier connections began.
	Resumed bool
}

// began puts where the connection begins into the report of this turn, and how far the
// gateway's others have come: should this process be killed, what is known of those
// ends there. It is called by commands only: a report is handed over before the turn
// writes to sockets.
func (c *conn) began(resumed bool) {
	for _, other := range c.s.gateways[c.gatewayID].conns {
		other.tellProgress()
	}
	c.s.report.Starts = append(c.s.report.Starts, ConnectionStart{c.gatewayID, c.pos, resumed})
}

// progressed notes that the connection has written events.
func (c *conn) progressed() {
	if c.seq > c.told && !c.moved {
		c.moved = true
		c.s.moved = append(c.s.moved, c)
	}
}

// tellProgress puts how far the connection has come into the next report.
func (c *conn) tellProgress() {
	if c.seq > c.told {
		c.s.report.Progress = append(c.s.report.Progress, tracker.Progress{GatewayID: c.gatewayID, From: c.told, To: c.seq})
		c.told = c.seq
	}
}

// tellProgress does so for every connection that has written events, also for
// those that have ended since, and reports it.
func (s *state) tellProgress() {
	if len(s.moved) == 0 {
		return
	}
	for i, c := range s.moved {
		c.moved = false
		c.tellProgress()
		s.moved[i] = nil
	}
	s.moved = s.moved[:0]
	s.tell()
}

// reportNow reports how far the connections of a gateway have come.
func (s *state) reportNow(gatewayID string) {
	g := s.gateways[gatewayID]
	if g == nil {
		return
	}
	for _, c := range g.conns {
		c.tellProgress()
	}
	s.report.Immediate = true
	s.tell()
	s.report.Immediate = false // when there was nothing to report
}

// heard puts a gateway's message into the next report, which is told in the next
// turn.
func (s *state) heard(m Inbound) {
	s.report.Inbound = append(s.report.Inbound, m)
	s.ring()
}

// tell hands over the report, if there is something in it.
func (s *state) tell() {
	if len(s.report.Progress) == 0 && len(s.report.Starts) == 0 && len(s.report.Inbound) == 0 {
		return
	}
	s.report.Epoch = s.lineage.Epoch()
	s.cfg.Report(s.report)
	s.report = Report{}
}
