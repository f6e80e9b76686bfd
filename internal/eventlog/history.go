// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// kindEpoch ends the subject of markers. Versions before markers skip them, as they skip every
// message that is not an event.
const kindEpoch = "epoch"

// A history is what the log knows of one stream's past: its lineage, which is stored in the
// stream itself, in messages called markers. It is safe for concurrent use.
//
// In a stream that only this process writes, each start begins an epoch, and nothing changes
// while it runs. A shared stream is compared with what this node has seen of it, see
// [history.check].
type history struct {
	// Constant after open.
	log    *Log
	name   string // of the stream
	marker string // subject of markers
	config storage.StreamConfig
	stream storage.Stream
	shared bool
	first  uint64 // epoch of messages before the first marker

	current atomic.Pointer[Lineage]
	last    tally // newest sequence that an append, a tail or a check has seen
	// known is the sequence up to which current has every marker, so that the ids of
	// sequences up to there are final. Only used for a shared stream.
	known tally
	// unsure says that the stream can have another history than current: the connection was
	// lost, or a check found something else. Nothing gets an id in the meantime.
	unsure atomic.Bool

	failing bool // the last check failed, which was logged; owned by Log.watch

	checking sync.Mutex // held by check and open; guards the fields up to mu
	created  time.Time  // of the stream
	checked  struct {   // the last check that found no difference
		at     time.Time
		losses uint64 // of the connection
		last   uint64
	}
	suspected bool      // the last check found another history
	waited    int       // checks that waited for other nodes
	goneSince time.Time // when a check found no stream
	remade    bool      // this node made the stream again, and nothing was stored in it yet
	markedAt  time.Time // when the marker at markedSeq was appended, or was first seen
	markedSeq uint64

	mu       sync.Mutex
	prints   footprints    // guarded by mu; of the current branch
	branched chan struct{} // guarded by mu; closed when the branch changes
}

// newHistory returns a history that must be opened.
func newHistory(l *Log, cfg storage.StreamConfig, marker string, s storage.Stream) *history {
	return &history{
		log: l, name: cfg.Name, marker: marker, config: cfg, stream: s, shared: l.shared,
		branched: make(chan struct{}),
	}
}

// lineage returns the lineage as it is known now.
func (h *history) lineage() *Lineage { return h.current.Load() }

// watch returns the lineage, and a channel that is closed when its branch ends.
func (h *history) watch() (*Lineage, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current.Load(), h.branched
}

// open reads the stream's lineage, and begins an epoch if no node can confirm its history. The
// first epoch of a new stream is named by the time when it was made, and needs no marker.
func (h *history) open(ctx context.Context, made bool) error {
	h.checking.Lock()
	defer h.checking.Unlock()
	var info storage.Info
	err := h.log.store.Retry(ctx, requestTimeout, func(ctx context.Context) (err error) {
		info, err = h.stream.Info(ctx)
		return err
	})
	if err != nil {
		return err
	}
	h.created, h.markedAt = info.Created, time.Now()
	h.first = uint64(info.Created.UnixMilli()) + h.log.store.Recovery(h.name).Generation
	switch {
	case made:
		h.adopt(firstEpoch(h.first), 0, false)
		return nil
	case h.shared:
		return h.log.store.Retry(ctx, requestTimeout+joinFor, h.join)
	}
	return h.begin(ctx)
}

// begin begins an epoch in a stream that only this process writes.
func (h *history) begin(ctx context.Context) error {
	info, err := h.stream.Info(ctx)
	if err != nil {
		return err
	}
	before, err := h.newest(ctx)
	if err != nil {
		return err
	}
	if before == nil {
		before = firstEpoch(h.first)
	}
	after, recovery := info.Last, h.log.store.Recovery(h.name)
	if !isComplete(before, after, recovery) {
		after = 0 // so that no earlier position is valid
	}
	next := before.next(newEpoch(before.Epoch()), after)
	next.lost = recovery.EndLost
	l, err := h.mark(ctx, next, storage.Expect{Last: &info.Last})
	if err != nil {
		return fmt.Errorf("begin an epoch: %w", err)
	}
	h.adopt(l, l.marker, false)
	return h.log.store.EpochBegan(h.name, l.Epoch(), l.marker)
}

// isComplete reports whether the lineage found in a stream has every marker up to the last
// sequence: a marker that was recorded and is missing was lost from the middle.
func isComplete(found *Lineage, last uint64, r storage.Recovery) bool {
	return !r.Repaired && (r.EpochSeq == 0 || last < r.EpochSeq || found.find(r.Epoch) >= 0)
}

// mark appends a lineage's marker and returns the lineage with the marker's sequence.
func (h *history) mark(ctx context.Context, l *Lineage, expect storage.Expect) (*Lineage, error) {
	seq, err := h.stream.Put(ctx, storage.Outgoing{Subject: h.marker, Data: l.appendMarker(nil)}, expect)
	if err != nil {
		return nil, fmt.Errorf("append a marker: %w", err)
	}
	h.markedAt, h.markedSeq = time.Now(), seq
	marked := *l
	marked.marker, marked.lost = seq, false
	return &marked, nil
}

// adopt is the only function that changes current. It makes l, whose marker is in the stream, the current lineage. If a sequence had another
// id before, or forced is set, the history has gone back: a new branch begins. Last is a
// sequence of the stream before which l has every marker.
func (h *history) adopt(l *Lineage, last uint64, forced bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.current.Load()
	next := *l
	if before == nil {
		h.current.Store(&next)
		h.last.advance(0, last)
		h.known.advance(0, last)
		return
	}
	last = max(last, l.marker)
	common := before.Common(l)
	next.branch = before.branch
	if !forced && common >= h.known.of(before.branch) {
		h.current.Store(&next)
		h.last.advance(next.branch, last)
		h.known.advance(next.branch, last)
		return
	}
	// The new branch begins. Everything that belongs to the old one must know before a
	// sequence is used in the new one: footprints, appends, and then readers.
	next.branch++
	h.prints.removeAfter(common)
	h.log.branch(h, func() {
		h.current.Store(&next)
		h.last.set(next.branch, last)
		h.known.set(next.branch, last)
	})
	close(h.branched)
	h.branched = make(chan struct{})
	h.log.cfg.Logger.Error("event log: the history of the stream has changed, or it has lost its newest messages; positions after the common part are no longer valid",
		"stream", h.name, "common", before.CursorOf(min(common, h.last.load())), "epoch", formatEpoch(next.Epoch()))
}

// readMarker takes the lineage of a marker that a tail of the present branch has read.
func (h *history) readMarker(body []byte, seq uint64) {
	cur := h.lineage()
	if seq <= cur.marker {
		return
	}
	l, err := parseMarker(body, seq)
	if err != nil {
		h.log.cfg.Logger.Error("event log: skipping an invalid marker", "stream", h.name, "sequence", seq, "err", err)
		return
	}
	h.adopt(l, seq, false)
}

// advance records that a tail of a branch has read the message after another one. Where the
// sequence jumps, a marker can be among what was removed.
func (h *history) advance(ctx context.Context, branch, from, seq uint64, at time.Time) error {
	h.last.advance(branch, seq)
	if !h.shared {
		return nil
	}
	if known := h.known.of(branch); known < seq {
		if from+1 < seq || known < from {
			return h.awaitIDs(ctx, seq)
		}
		h.known.advance(branch, seq)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current.Load().branch == branch {
		h.prints.add(footprint{seq, at.UnixNano()})
	}
	return nil
}

// awaitIDs waits until the ids of sequences up to seq are final: until no marker that this node has
// not read can be before seq. Nothing gets an id before that.
func (h *history) awaitIDs(ctx context.Context, seq uint64) error {
	if !h.shared {
		return nil
	}
	for h.known.load() < seq {
		if err := h.refresh(ctx); err != nil {
			return err
		}
	}
	return nil
}

// refresh asks the stream for its newest marker. The state is requested first: a marker that comes
// after it has a later sequence than those that become final here.
func (h *history) refresh(ctx context.Context) error {
	if h.unsure.Load() {
		return errUnsure
	}
	cur, last := h.lineage(), h.last.load()
	info, err := h.infoWith(ctx, last, h.info)
	if err != nil {
		return unavailable(err)
	}
	if info.Last < last {
		h.log.checkSoon()
		return errSuspect
	}
	found, err := h.newest(ctx)
	if err != nil {
		return unavailable(err)
	}
	if found != nil && found.marker > cur.marker {
		h.adopt(found, info.Last, false)
		return nil
	}
	h.last.advance(cur.branch, info.Last)
	h.known.advance(cur.branch, info.Last)
	return nil
}

// newest returns the lineage of the newest marker, or nil when there is none.
func (h *history) newest(ctx context.Context) (*Lineage, error) {
	m, err := h.stream.Newest(ctx, h.marker)
	switch {
	case errors.Is(err, storage.ErrNoMessage):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read its newest marker: %w", err)
	}
	l, err := parseMarker(m.Data, m.Seq)
	if errors.Is(err, errMarker) { // gatecast did not write it
		return h.newestReadable(ctx)
	}
	return l, err
}

// newestReadable is newest for a stream with invalid markers. It reads all markers.
func (h *history) newestReadable(ctx context.Context) (newest *Lineage, err error) {
	failed := h.stream.Pages(ctx, storage.Range{Subjects: []string{h.marker}}, allMarkers, func(m storage.Message) bool {
		l, bad := parseMarker(m.Data, m.Seq)
		switch {
		case bad == nil:
			newest = l
		case errors.Is(bad, errMarkerVersion):
			err = bad
		}
		return true
	})
	return newest, errors.Join(err, failed)
}

// allMarkers is how many markers are requested at once.
const allMarkers = 256
