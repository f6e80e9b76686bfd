// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "time"

const (
	// gatewayShare is which part of the journal of messages one gateway may fill from one
	// node: beyond that its own oldest messages go, and nobody else's.
	gatewayShare = 8
	// sharePieces is in how many pieces a share is let go of.
	sharePieces = 8
)

// shares knows how much of the journal of messages each gateway fills from this node.
// JetStream removes the oldest message of all when the journal is full, whoever filled
// it. The shares are not kept over a restart, so a gateway may then fill as much again.
type shares struct {
	// Constant.
	limit int64         // bytes of one gateway
	keep  time.Duration // for how long the journal keeps a message

	of map[string]*share // by gateway
}

// A share is what the journal has of one gateway.
type share struct {
	pieces []piece // the oldest first
	bytes  int64   // of all pieces together
}

// A piece is some messages of a gateway that follow each other, up to the sequence last.
type piece struct {
	last     uint64
	messages int
	bytes    int64
	at       time.Time // of the newest
}

func newShares(journal int64, keep time.Duration) *shares {
	return &shares{limit: journal / gatewayShare, keep: keep, of: make(map[string]*share)}
}

// batch returns how many bytes of messages may be written at once, so that a piece has
// messages that are near each other.
func (s *shares) batch() int { return int(min(s.limit/sharePieces, 1<<20)) }

// add notes that the journal has a message of a gateway, at last or before. When the
// gateway fills more than its share, the messages of it up to the returned sequence are
// to go, and so many that is; else that is 0.
func (s *shares) add(gateway string, bytes int, last uint64, now time.Time) (upTo uint64, messages int) {
	g := s.of[gateway]
	if g == nil {
		g = new(share)
		s.of[gateway] = g
	}
	newest := len(g.pieces) - 1
	if newest < 0 || g.pieces[newest].bytes >= s.limit/sharePieces && g.pieces[newest].last < last {
		g.pieces = append(g.pieces, piece{})
		newest++
	}
	p := &g.pieces[newest]
	p.last, p.at = max(p.last, last), now
	p.bytes += int64(bytes)
	p.messages++
	g.bytes += int64(bytes)
	for g.bytes > s.limit && len(g.pieces) > 1 {
		upTo = g.pieces[0].last
		messages += g.pieces[0].messages
		g.drop()
	}
	return upTo, messages
}

// drop forgets the oldest piece.
func (g *share) drop() {
	g.bytes -= g.pieces[0].bytes
	g.pieces = append(g.pieces[:0], g.pieces[1:]...)
}

// trim forgets what the journal does not have any more: what is before first, or too old.
func (s *shares) trim(first uint64, now time.Time) {
	for gateway, g := range s.of {
		for len(g.pieces) > 0 && (g.pieces[0].last < first || now.Sub(g.pieces[0].at) > s.keep) {
			g.drop()
		}
		if len(g.pieces) == 0 {
			delete(s.of, gateway)
		}
	}
}
