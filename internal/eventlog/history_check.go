// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// This file compares shared streams with what the node has seen of them: a NATS server can
// come back with older files or with none, and people can delete a stream, make it again or
// purge it.
//
// A history is in one of three states. Normally it is sure, and every two seconds a check costs
// one request. When the connection is lost, or something looks wrong, it becomes unsure: no
// append gets an id, no tail continues, and positions are refused as temporarily unavailable.
// When a check then finds another history, it is suspected, and the next check decides. A check
// that finds or makes everything right makes it sure again.

const (
	// checkFully is the interval of comparisons when nothing seems to have happened.
	checkFully = 10 * time.Second
	// recheck is the pause after a check that failed or found another history. A server that
	// is no longer the leader can answer with what it has, so two checks must agree.
	recheck = 250 * time.Millisecond
	// checkTimeout bounds one check.
	checkTimeout = 5 * time.Second
	// goneFor is how long a stream must be missing before it counts as lost: a cluster that
	// has just started does not know all of its streams yet.
	goneFor = time.Second
)

// errSuspect says that a check found another history. The next check confirms that or not.
var errSuspect = fmt.Errorf("%w: its history seems to have changed; checking again", ErrUnavailable)

// errUnsure says that the history of the stream is being checked: the connection was lost, the
// stream is gone, or a check found another history.
var errUnsure = fmt.Errorf("%w: its history is being checked; try again in a moment", ErrUnavailable)

// check compares the stream with what this node has seen of it, and repairs what it finds. A
// stream that is gone is made again. A marker that is gone, or will leave the stream soon, is
// appended again. If the history has changed, an epoch begins after the common part, or the
// epoch that another node has begun is taken.
func (h *history) check(ctx context.Context) error {
	h.checking.Lock()
	defer h.checking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	check := h.compare
	if !h.shared {
		check = h.keepMarker
	}
	err := check(ctx)
	if h.remade && errors.Is(err, context.DeadlineExceeded) {
		h.discard()
	}
	if err != nil && h.log.ctx.Err() == nil {
		return fmt.Errorf("%w: %w%s", ErrUnavailable, err, h.log.store.LastError())
	}
	return err
}

// keepMarker appends the marker of a stream that only this process writes again, before it
// leaves the stream.
func (h *history) keepMarker(ctx context.Context) error {
	info, err := h.stream.Info(ctx)
	if err != nil {
		return err
	}
	h.noteFirst(&info)
	cur := h.lineage()
	if cur.marker == 0 || cur.marker >= info.First && !h.due(&info, cur) {
		return nil
	}
	l, err := h.mark(ctx, cur, storage.Expect{})
	if err != nil {
		return err
	}
	h.adopt(l, l.marker, false)
	return h.log.store.EpochBegan(h.name, l.Epoch(), l.marker)
}

// noteFirst records the first sequence of the stream of events for the log.
func (h *history) noteFirst(info *storage.Info) {
	if h.name == streamName {
		h.log.first.Store(max(info.First, h.lineage().floor+1))
	}
}

// compare is check for a shared stream.
func (h *history) compare(ctx context.Context) error {
	cur, last, losses := h.lineage(), h.last.load(), h.log.losses.Load()
	info, err := h.infoWith(ctx, last, h.infoOrMake)
	if err != nil {
		return err
	}
	h.noteFirst(&info)
	if h.markedSeq != cur.marker { // another node has appended it again
		h.markedSeq, h.markedAt = cur.marker, time.Now()
	}
	if !h.mustCompare(&info, cur, losses) {
		return nil
	}
	seen, err := h.look(ctx, info, cur, last)
	if err != nil {
		return err
	}
	if h.checked.losses != losses {
		err = h.afterLoss(ctx, seen)
	} else {
		err = h.whileConnected(ctx, seen)
	}
	if err != nil {
		return err
	}
	h.confirm(&info, cur, losses)
	return nil
}

// mustCompare reports whether anything can have happened to the stream since the last check.
func (h *history) mustCompare(info *storage.Info, cur *Lineage, losses uint64) bool {
	gone := 0 < cur.marker && cur.marker < info.First // the marker has left the stream
	return h.unsure.Load() || h.suspected || gone || !info.Created.Equal(h.created) || h.checked.losses != losses ||
		h.checked.last != info.Last || time.Since(h.checked.at) >= checkFully || h.due(info, cur)
}

// look finds out what the stream has of what this node has seen. Last is the newest sequence that
// was known before info was requested.
func (h *history) look(ctx context.Context, info storage.Info, cur *Lineage, last uint64) (*finding, error) {
	found, err := h.newest(ctx)
	if err != nil {
		return nil, err
	}
	good, bad := uint64(0), uint64(1) // nothing is known of a stream that was made again
	if info.Created.Equal(h.created) {
		if good, bad, err = h.compareFootprints(ctx, &info, last); err != nil {
			return nil, err
		}
		if last > info.Last {
			bad = min(bad, info.Last+1)
		}
	}
	return &finding{info: info, cur: cur, found: found, last: last, good: good, bad: bad}, nil
}

// confirm records that a check has found, or made, the stream's history to be the current one.
func (h *history) confirm(info *storage.Info, cur *Lineage, losses uint64) {
	if h.lineage().branch == cur.branch {
		h.last.advance(cur.branch, info.Last)
		if h.lineage().equal(cur) { // no marker has come in between
			h.known.advance(cur.branch, info.Last)
		}
		if info.Messages > 0 {
			h.mu.Lock()
			h.prints.add(footprint{info.Last, info.LastTime.UnixNano()})
			h.mu.Unlock()
		}
	}
	h.suspected, h.waited = false, 0
	h.checked.at, h.checked.losses, h.checked.last = time.Now(), losses, info.Last
	if h.log.losses.Load() == losses {
		h.unsure.Store(false)
	}
	h.log.out.release()
}

// info asks for the stream's state. It is an error if the servers have no quorum.
func (h *history) info(ctx context.Context) (storage.Info, error) {
	info, err := h.stream.Info(ctx)
	if err == nil {
		err = info.Quorum
	}
	return info, err
}

// A leader can be behind what another server of its stream has sent to a tail, for at most
// leaderLag: one that was just elected applies what is committed first, and a busy machine
// makes that take seconds. Taking it for a loss would begin an epoch for nothing.
const (
	leaderLag   = 3 * time.Second
	leaderPause = 20 * time.Millisecond
)

// infoWith asks for the stream's state until it has a sequence that this node has seen, or
// until a server that is only late would have it.
func (h *history) infoWith(ctx context.Context, seq uint64, ask func(context.Context) (storage.Info, error)) (storage.Info, error) {
	for deadline := time.Now().Add(leaderLag); ; sleep(ctx, leaderPause) {
		info, err := ask(ctx)
		if err != nil || info.Last >= seq || !info.Replicated || time.Now().After(deadline) || ctx.Err() != nil {
			return info, err
		}
	}
}

// infoOrMake is info, and makes the stream again if it is gone. It waits for goneFor before
// that: the server can still be removing the files of the old stream, and would remove those
// of the new one too.
func (h *history) infoOrMake(ctx context.Context) (storage.Info, error) {
	info, err := h.info(ctx)
	if !errors.Is(err, storage.ErrNoStream) {
		h.goneSince = time.Time{}
		return info, err
	}
	h.unsure.Store(true)
	if h.goneSince.IsZero() {
		h.goneSince = time.Now()
	}
	if time.Since(h.goneSince) < goneFor {
		return info, err
	}
	h.goneSince, h.remade = time.Time{}, true
	h.log.cfg.Logger.Error("event log: a stream is gone; making it again", "stream", h.name)
	if _, _, err := h.log.store.OpenStream(ctx, h.config); err != nil {
		return info, err
	}
	return h.info(ctx)
}

// compareFootprints compares the stream with the footprints that this node has of it. It
// returns the newest sequence whose message is the same, and the oldest one whose message is
// another one or missing: math.MaxUint64 if there is none. Known is the newest sequence that was
// known before info was requested: info can lack what this node has seen since.
func (h *history) compareFootprints(ctx context.Context, info *storage.Info, known uint64) (good, bad uint64, err error) {
	h.mu.Lock()
	prints := append(footprints(nil), h.prints...)
	h.mu.Unlock()
	for len(prints) > 0 && prints[len(prints)-1].seq > max(known, info.Last) {
		prints = prints[:len(prints)-1]
	}
	bad = math.MaxUint64
	// The newest one first: usually it is good, and one comparison is enough. If it is not, a
	// binary search finds where the histories part. That is one point, because a stream only
	// goes back as a whole.
	lo, hi := 0, len(prints) // prints[:lo] are good, prints[hi:] are bad
	for probe := hi - 1; lo < hi; probe = lo + (hi-lo)/2 {
		same, err := h.has(ctx, prints[probe], info)
		switch {
		case err != nil:
			return 0, 0, err
		case same:
			lo = probe + 1
		default:
			hi = probe
		}
	}
	if hi < len(prints) {
		bad = prints[hi].seq
	}
	if lo > 0 {
		good = prints[lo-1].seq
	}
	return good, bad, nil
}

// has reports whether the stream has a message that this node has seen, or had it before
// retention removed it.
func (h *history) has(ctx context.Context, p footprint, info *storage.Info) (bool, error) {
	switch {
	case p.seq > info.Last:
		return false, nil
	case p.seq == info.Last && !info.LastTime.IsZero() && info.Messages > 0:
		return info.LastTime.UnixNano() == p.time, nil
	case p.seq < info.First:
		return true, nil
	}
	m, err := h.stream.Get(ctx, p.seq)
	switch {
	case errors.Is(err, storage.ErrNoMessage): // somebody deleted it, or it has just left
		return true, nil
	case err != nil:
		return false, err
	}
	return m.Time.UnixNano() == p.time, nil
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
