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

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// kindEpoch ends the subject of markers. Nodes of versions that know none pass over
// them, as over any message that is no event.
const kindEpoch = "epoch"

// A history is what the log knows of one stream's past: its lineage, which is kept in the
// stream itself, in messages called markers. Any goroutine may use it.
//
// In a stream that only this process writes, each start begins an epoch, and nothing
// changes while it runs. A shared stream is compared with what this node has seen of it,
// see [history.check].
type history struct {
	// Constant after open.
	log    *Log
	name   string // of the stream
	marker string // subject of markers
	config jetstream.StreamConfig
	stream jetstream.Stream
	shared bool
	first  uint64 // epoch of what stands in it without a marker

	current atomic.Pointer[Lineage]
	last    tally // newest sequence that an append, a tail or a check has seen
	// known is the sequence up to which no marker is missing in current, so that the
	// names of sequences up to there are final. Only kept of a shared stream.
	known tally
	// unsure says that the stream may have another history than current: the connection
	// was lost, or a check found something else. Nothing is named meanwhile.
	unsure atomic.Bool

	failing bool // the last check failed, which was logged; of the goroutine that checks

	checking sync.Mutex // held by check and open
	created  time.Time  // of the stream; guarded by checking
	checked  struct {   // the last check that found all in order; guarded by checking
		at    time.Time
		conns uint64
		last  uint64
	}
	suspected bool      // the last check found another history; guarded by checking
	waited    int       // checks that waited for other nodes; guarded by checking
	goneSince time.Time // when a check found no stream; guarded by checking
	remade    bool      // this node made the stream again, and it has taken nothing yet; guarded by checking
	// When the marker at a sequence was appended or came to be known; guarded by checking.
	markedAt  time.Time
	markedSeq uint64

	mu     sync.Mutex
	prints footprints    // guarded by mu; of the current branch
	turned chan struct{} // guarded by mu; closed when the branch changes
}

func newHistory(l *Log, cfg jetstream.StreamConfig, marker string, s jetstream.Stream) *history {
	return &history{
		log: l, name: cfg.Name, marker: marker, config: cfg, stream: s, shared: l.server.shared(),
		turned: make(chan struct{}),
	}
}

// A tally is a sequence that only grows until the history goes back: it belongs to one
// branch.
type tally struct{ v atomic.Uint64 }

// branchShift leaves 48 bits for the sequence.
const branchShift = 48

// set begins a branch.
func (t *tally) set(branch, seq uint64) { t.v.Store(branch<<branchShift | seq) }

// advance notes a sequence of a branch, if that is still the current one.
func (t *tally) advance(branch, seq uint64) {
	for next := branch<<branchShift | seq; ; {
		v := t.v.Load()
		if v>>branchShift != next>>branchShift || v >= next || t.v.CompareAndSwap(v, next) {
			return
		}
	}
}

func (t *tally) load() uint64 { return t.v.Load() & (1<<branchShift - 1) }

// of returns the sequence, or 0 when it belongs to another branch.
func (t *tally) of(branch uint64) uint64 {
	if v := t.v.Load(); v>>branchShift == branch<<branchShift>>branchShift {
		return v & (1<<branchShift - 1)
	}
	return 0
}

// lineage returns the lineage as it is known now.
func (h *history) lineage() *Lineage { return h.current.Load() }

// watch returns the lineage, and a channel that is closed when its branch ends.
func (h *history) watch() (*Lineage, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current.Load(), h.turned
}

// open learns the stream's lineage, and begins an epoch where nobody can vouch for its
// history. The first epoch of a stream that was just made is named by when that was, and
// needs no marker.
func (h *history) open(ctx context.Context, made bool) error {
	h.checking.Lock()
	defer h.checking.Unlock()
	info := h.stream.CachedInfo()
	h.created, h.markedAt = info.Created, time.Now()
	h.first = uint64(info.Created.UnixMilli()) + h.log.server.generation()
	switch {
	case made:
		h.take(firstEpoch(h.first), 0, false)
		return nil
	case h.shared:
		return h.log.patiently(ctx, openTry+joinFor, func(ctx context.Context) error { return h.join(ctx) })
	}
	return h.begin(ctx)
}

// begin begins an epoch in a stream that this process alone appends to.
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
	after := info.State.LastSeq
	if !h.log.server.trusts(h.name, before, after) {
		after = 0 // so no position from before is
	}
	next := before.next(newEpoch(before.Epoch()), after)
	next.lost = h.log.server.endLost()
	l, err := h.mark(ctx, next, jetstream.WithExpectLastSequence(info.State.LastSeq))
	if err != nil {
		return fmt.Errorf("begin an epoch: %w", err)
	}
	h.take(l, l.marker, false)
	return h.log.server.marked(h.name, l)
}

// mark appends a lineage's marker and returns the lineage with the marker's place.
func (h *history) mark(ctx context.Context, l *Lineage, options ...jetstream.PublishOpt) (*Lineage, error) {
	ack, err := h.log.js.PublishMsg(ctx, &nats.Msg{Subject: h.marker, Data: l.appendMarker(nil)}, options...)
	if err != nil {
		return nil, fmt.Errorf("append a marker: %w", err)
	}
	h.markedAt, h.markedSeq = time.Now(), ack.Sequence
	marked := *l
	marked.marker, marked.lost = ack.Sequence, false
	return &marked, nil
}

// take makes l, whose marker is in the stream, the current lineage. When a sequence that
// was named before has another name now, or forced is set, the history has gone back: a
// new branch begins. Last is a sequence that the stream has, up to which it has no later
// marker.
func (h *history) take(l *Lineage, last uint64, forced bool) {
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
	next.branch++
	h.prints.forgetAfter(common)
	h.log.turned(h, func() {
		h.current.Store(&next)
		h.last.set(next.branch, last)
		h.known.set(next.branch, last)
	})
	close(h.turned)
	h.turned = make(chan struct{})
	h.log.cfg.Logger.Error("event log: the stream has another history than before, or has lost its newest messages; positions after what is common are not honoured any more",
		"stream", h.name, "common", before.CursorOf(min(common, h.last.load())), "epoch", formatEpoch(next.Epoch()))
}

// saw is told a marker that a tail of the present branch came to.
func (h *history) saw(body []byte, seq uint64) {
	cur := h.lineage()
	if seq <= cur.marker {
		return
	}
	l, err := parseMarker(body, seq)
	if err != nil {
		h.log.cfg.Logger.Error("event log: a marker is passed over", "stream", h.name, "sequence", seq, "err", err)
		return
	}
	h.take(l, seq, false)
}

// passed notes that a tail of a branch has come from one message to the next. Where it
// jumps, a marker may have been among what is gone.
func (h *history) passed(ctx context.Context, branch, from, seq uint64, at time.Time) error {
	h.last.advance(branch, seq)
	if !h.shared {
		return nil
	}
	if known := h.known.of(branch); known < seq {
		if from+1 < seq || known < from {
			return h.settle(ctx, seq)
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

// settle waits until the names of sequences up to seq are final.
func (h *history) settle(ctx context.Context, seq uint64) error {
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

// refresh asks the stream for its newest marker.
func (h *history) refresh(ctx context.Context) error {
	if h.unsure.Load() {
		return errUnsure
	}
	cur, last := h.lineage(), h.last.load()
	info, err := h.infoWith(ctx, last, h.info)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if info.State.LastSeq < last {
		h.log.checkSoon()
		return errSuspect
	}
	found, err := h.newest(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if found != nil && found.marker > cur.marker {
		h.take(found, info.State.LastSeq, false)
		return nil
	}
	h.last.advance(cur.branch, info.State.LastSeq)
	h.known.advance(cur.branch, info.State.LastSeq)
	return nil
}

// newest returns the lineage that the newest marker says, nil when there is none.
func (h *history) newest(ctx context.Context) (*Lineage, error) {
	m, err := h.stream.GetLastMsgForSubject(ctx, h.marker)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read its newest marker: %w", err)
	}
	l, err := parseMarker(m.Data, m.Sequence)
	if errors.Is(err, errMarker) { // somebody else's
		return h.newestReadable(ctx)
	}
	return l, err
}

// newestReadable looks through all markers.
func (h *history) newestReadable(ctx context.Context) (newest *Lineage, err error) {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy, FilterSubject: h.marker}
	failed := h.log.fetch(ctx, h.name, cfg, pullMessages, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		l, bad := parseMarker(m.Data(), meta.Sequence.Stream)
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
