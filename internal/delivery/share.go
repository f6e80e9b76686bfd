// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import "time"

const (
	// shareDivisor is the part of the journal messages that one gateway can fill from one
	// node: an eighth. Beyond that its own oldest messages are removed.
	shareDivisor = 8
	// segmentsPerShare is in how many segments a share is removed.
	segmentsPerShare = 8
)

// shares are how much of the journal messages each gateway fills from this node. Without
// them JetStream would remove the oldest message of all gateways when the journal is
// full. Shares are not stored: after a restart a gateway can fill as much again.
// One goroutine owns them: [Recorder.run].
type shares struct {
	// Constant.
	limit     int64         // bytes per gateway
	retention time.Duration // of the journal

	byGateway map[string]*share
}

// A share is what the journal has of one gateway.
type share struct {
	segments []segment // oldest first
	bytes    int64     // of all segments
}

// A segment is some consecutive messages of a gateway, up to the sequence last.
type segment struct {
	last     uint64
	messages int
	bytes    int64
	newest   time.Time
}

func newShares(journalBytes int64, retention time.Duration) *shares {
	return &shares{limit: journalBytes / shareDivisor, retention: retention, byGateway: make(map[string]*share)}
}

// segmentBytes returns the size at which a segment is full.
func (s *shares) segmentBytes() int64 { return s.limit / segmentsPerShare }

// batch returns how many bytes of messages can be written at once. Messages written at
// once are in one segment, so a batch is not larger than one.
func (s *shares) batch() int { return int(min(s.segmentBytes(), 1<<20)) }

// add counts a message of a gateway that the journal has at the sequence last, or
// shortly before. If the gateway exceeds its share, upTo is the sequence up to which
// its messages must be removed, and messages is how many these are; else both are 0.
func (s *shares) add(gateway string, bytes int, last uint64, now time.Time) (upTo uint64, messages int) {
	g := s.byGateway[gateway]
	if g == nil {
		g = new(share)
		s.byGateway[gateway] = g
	}
	newest := len(g.segments) - 1
	if newest < 0 || g.segments[newest].bytes >= s.segmentBytes() && g.segments[newest].last < last {
		g.segments = append(g.segments, segment{})
		newest++
	}
	p := &g.segments[newest]
	p.last, p.newest = max(p.last, last), now
	p.bytes += int64(bytes)
	p.messages++
	g.bytes += int64(bytes)
	for g.bytes > s.limit && len(g.segments) > 1 {
		upTo = g.segments[0].last
		messages += g.segments[0].messages
		g.dropOldest()
	}
	return upTo, messages
}

// dropOldest removes the oldest segment.
func (g *share) dropOldest() {
	g.bytes -= g.segments[0].bytes
	g.segments = append(g.segments[:0], g.segments[1:]...)
}

// trim removes what has left the journal: messages before first, and those that are
// older than the retention.
func (s *shares) trim(first uint64, now time.Time) {
	for gateway, g := range s.byGateway {
		for len(g.segments) > 0 && (g.segments[0].last < first || now.Sub(g.segments[0].newest) > s.retention) {
			g.dropOldest()
		}
		if len(g.segments) == 0 {
			delete(s.byGateway, gateway)
		}
	}
}
