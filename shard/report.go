// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
)

// reportEvery is how often the progress of connections is reported.
const reportEvery = time.Second

// A Report is what was written to gateways and what they sent, of one shard. The
// receiver owns it.
type Report struct {
	// Epoch is the newest epoch of the lineage that the sequences in the report are of.
	Epoch uint64
	// Progress has a span of sequences for each connection that has written events.
	// Spans of one connection touch.
	Progress []tracker.Progress
	Starts   []ConnectionStart // connections that begin
	Inbound  []Inbound         // messages from gateways, in order per connection
	// Immediate asks the receiver to store the report now and not with the next batch.
	Immediate bool
}

// A ConnectionStart says where a connection begins, before anything is sent to it:
// every event for its gateway after the sequence After is queued for it, or a later
// ConnectionStart says otherwise.
type ConnectionStart struct {
	GatewayID string
	After     uint64
	// Resumed: the gateway itself named the position. So it has every event for it
	// since one of its earlier connections began.
	Resumed bool
}

// reportStart adds the connection's start to the report of this turn, and the progress
// of the gateway's other connections: if this process is killed, what is known of those
// ends here. Only commands call it: a report is handed over before the turn writes to
// sockets.
func (c *conn) reportStart(resumed bool) {
	for _, other := range c.s.gateways[c.gatewayID].conns {
		other.reportProgress()
	}
	c.s.report.Starts = append(c.s.report.Starts, ConnectionStart{c.gatewayID, c.queuedSeq, resumed})
}

// noteProgress notes that the connection has written events.
func (c *conn) noteProgress() {
	if c.writtenSeq > c.reportedSeq && !c.hasProgress {
		c.hasProgress = true
		c.s.withProgress = append(c.s.withProgress, c)
	}
}

// reportProgress adds the connection's progress to the next report.
func (c *conn) reportProgress() {
	if c.writtenSeq > c.reportedSeq {
		c.s.report.Progress = append(c.s.report.Progress, tracker.Progress{GatewayID: c.gatewayID, From: c.reportedSeq, To: c.writtenSeq})
		c.reportedSeq = c.writtenSeq
	}
}

// reportProgress adds the progress of every connection that has written events, also of
// those that have ended since, and sends the report.
func (s *state) reportProgress() {
	if len(s.withProgress) == 0 {
		return
	}
	for i, c := range s.withProgress {
		c.hasProgress = false
		c.reportProgress()
		s.withProgress[i] = nil
	}
	s.withProgress = s.withProgress[:0]
	s.sendReport()
}

// reportNow reports the progress of a gateway's connections.
func (s *state) reportNow(gatewayID string) {
	g := s.gateways[gatewayID]
	if g == nil {
		return
	}
	for _, c := range g.conns {
		c.reportProgress()
	}
	s.report.Immediate = true
	s.sendReport()
	s.report.Immediate = false // when there was nothing to report
}

// queueInbound adds a gateway's message to the report of the next turn.
func (s *state) queueInbound(m Inbound) {
	s.report.Inbound = append(s.report.Inbound, m)
	s.ring()
}

// sendReport hands over the report, unless it is empty.
func (s *state) sendReport() {
	if len(s.report.Progress) == 0 && len(s.report.Starts) == 0 && len(s.report.Inbound) == 0 {
		return
	}
	s.report.Epoch = s.lineage.Epoch()
	s.cfg.Report(s.report)
	s.report = Report{}
}
