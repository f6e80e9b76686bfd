// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// This file decides what a node does when a check has found something. Three results are
// possible, apart from "nothing to do":
//
//   - renew: the epoch continues, and only its marker must be appended again;
//   - follow: another node has begun an epoch, which this node takes;
//   - beginEpochAfter: nobody has yet, and the history is not what this node has seen.
//
// All of them are conditional writes, or follow one. So nodes that decide at the same time
// agree: one write succeeds, and the others find its marker at their next check.

// A finding is what a check has found.
type finding struct {
	info  storage.Info
	cur   *Lineage // what this node knows
	found *Lineage // of the newest marker; nil: there is none
	last  uint64   // the newest sequence that this node has seen
	// Up to good, the stream has what this node has seen. At bad, if that is not
	// math.MaxUint64, it has another message or none.
	good, bad uint64
}

// whileConnected acts for a node that has been connected since the last check. Then no server
// has come back with another store unnoticed. But the stream can have been deleted or made
// again, and another of its servers can have lost something.
func (h *history) whileConnected(ctx context.Context, s *finding) error {
	target := s.cur
	if s.found != nil && !s.found.equal(s.cur) {
		target = s.found
	}
	remade := !s.info.Created.Equal(h.created)
	switch common := s.cur.Common(target); {
	// A message that both lineages name alike is another one, or gone: no epoch says so yet.
	case s.bad <= common && s.bad != math.MaxUint64:
		return h.beginEpochAfter(ctx, s, s.cur, s.good)
	// Another node has begun an epoch, or has made the stream again with its marker.
	case s.found != nil && (target != s.cur && s.found.marker >= s.cur.marker || remade):
		h.follow(s)
	case s.cur.marker > 0 && (s.found == nil || s.found.marker < s.cur.marker || h.due(&s.info, s.cur)):
		return h.renew(ctx, s.cur, s.found)
	}
	return nil
}

// afterLoss acts for a node that has lost the connection since the last check. The server can
// have come back with any earlier store, also with markers of epochs that have continued
// elsewhere, and it can have lost what only another node has seen. So the node stays in an epoch
// only if another node confirms it that has not lost the connection, or has asked before.
func (h *history) afterLoss(ctx context.Context, s *finding) error {
	same := s.info.Created.Equal(h.created) && s.bad == math.MaxUint64
	if same && (s.found == nil || s.found.equal(s.cur)) {
		confirmed, nodes, err := h.ask(ctx, s.cur, s.found, &s.info)
		switch {
		case err != nil:
			return err
		case (confirmed == nil || !confirmed.equal(s.cur)) && nodes != older:
			h.suspected = true // nothing contradicts it, and a second look would show the same
			return h.beginEpochAfter(ctx, s, s.cur, s.info.Last)
		case s.cur.marker > 0 && (s.found == nil || h.due(&s.info, s.cur)): // purged, or about to leave
			return h.renew(ctx, s.cur, s.found)
		}
		return nil
	}
	if s.found != nil && !s.found.equal(s.cur) {
		confirmed, nodes, err := h.ask(ctx, s.found, s.found, &s.info)
		switch {
		case err != nil:
			return err
		case confirmed != nil:
			h.follow(s)
			return nil
		case nodes == disagree && h.waited < maxWaits:
			h.waited++
			h.unsure.Store(true)
			return errSuspect
		}
	}
	// The new epoch begins after the newest message, in the lineage of the stream's own newest
	// marker. But if the stream has another message than this node has seen, where both
	// lineages have the same epoch, it begins after the last message that is the same.
	base, after := s.found, s.info.Last
	if base == nil {
		base = firstEpoch(uint64(s.info.Created.UnixMilli()))
	}
	if s.info.Created.Equal(h.created) && s.bad <= min(after, s.cur.Common(base)) {
		after = s.good
	}
	return h.beginEpochAfter(ctx, s, base, after)
}

// maxWaits is how many checks wait for other nodes to check the stream, before this node
// decides by itself.
const maxWaits = 8

// beginEpochAfter begins an epoch after a sequence of a lineage, because what follows is not what
// this node has seen, or need not be. The first call only sets suspected: two checks in a row must
// agree, see recheck. The marker is written on the condition that no other marker has come since,
// and, at the end of the stream, no other message.
func (h *history) beginEpochAfter(ctx context.Context, s *finding, base *Lineage, after uint64) error {
	if !h.suspected {
		h.suspected = true
		h.unsure.Store(true)
		return errSuspect
	}
	newest, marker := max(s.cur.Epoch(), base.Epoch()), uint64(0)
	if s.found != nil {
		newest, marker = max(newest, s.found.Epoch()), s.found.marker
	}
	next := base.next(newEpoch(newest), after)
	next.branch = s.cur.branch
	expect := storage.Expect{LastSubject: &marker}
	if after == s.info.Last {
		expect.Last = &after
	}
	l, err := h.mark(ctx, next, expect)
	if err != nil {
		return err // another node was first, or the next check tries again
	}
	h.created, h.remade = s.info.Created, false
	h.adopt(l, l.marker, true)
	return nil
}

// discard deletes a stream that this node has made again, if nothing was stored in it since: the
// server has removed its files with those of the old stream.
func (h *history) discard() {
	ctx, cancel := context.WithTimeout(h.log.ctx, requestTimeout)
	defer cancel()
	info, err := h.info(ctx)
	if err != nil || info.Last > 0 {
		return
	}
	_ = h.stream.Delete(ctx) // or the next check tries again
}

// follow takes the epoch that another node has begun. It is a new branch if anything that this
// node has seen is not in the stream now, even where the ids are the same.
func (h *history) follow(s *finding) {
	forced := s.bad != math.MaxUint64 || s.last > s.info.Last || !s.info.Created.Equal(h.created)
	h.created, h.remade = s.info.Created, false
	h.adopt(s.found, s.info.Last, forced)
}

// renew appends the current lineage's marker again: same epochs, later sequence. The condition
// makes sure that it does not hide a newer marker of another node.
func (h *history) renew(ctx context.Context, cur, found *Lineage) error {
	after := uint64(0)
	if found != nil {
		after = found.marker
	}
	l, err := h.mark(ctx, cur, storage.Expect{LastSubject: &after})
	if errors.Is(err, storage.ErrConflict) { // another node was first
		return nil
	}
	if err == nil {
		h.adopt(l, l.marker, false)
	}
	return err
}

// due reports whether a marker will leave the stream soon: half of what retention allows has
// passed since it was appended.
func (h *history) due(info *storage.Info, cur *Lineage) bool {
	if cur.marker == 0 {
		return false
	}
	if age := h.config.Retention; age > 0 && time.Since(h.markedAt) > age/2 {
		return true
	}
	limit := uint64(h.config.Bytes)
	older := cur.marker - info.First // messages before it
	return limit > 0 && info.Bytes > limit/2 && (cur.marker < info.First || older < info.Messages/2)
}
