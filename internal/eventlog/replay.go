// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// A replay brings a tail to a sequence by reading the stream. While it runs, the goroutine of the
// scan owns the tail, and the goroutine of the tail waits in run. The mutex is for the end of a
// replay: the scan can still be in a call of onMessage when run wants to return.
type replay struct {
	// Constant.
	tail     *tail
	ctx      context.Context // of run
	branch   uint64          // of the history that is read
	branched <-chan struct{} // closed when there is another branch
	to       uint64          // math.MaxUint64: it does not end by itself
	done     chan struct{}   // closed when the tail has reached to, or err is set

	mu   sync.Mutex // held while the tail's function runs
	over bool       // guarded by mu; the replay no longer owns the tail
	err  error      // guarded by mu; why it ended too early
}

// run reads until the tail has reached r.to, and returns nil; or until the history goes back,
// and returns errWentBack. When it returns, the tail is the caller's again.
func (r *replay) run(ctx context.Context) error {
	if isClosed(r.branched) {
		return errWentBack
	}
	err := r.tail.log.stream.Scan(ctx, storage.Scan{
		After: r.tail.last, Messages: tailEvents, Bytes: tailBytes,
		Pending: r.pending, Begun: r.begun, Message: r.onMessage, Recovered: r.tail.recovered,
		Done: r.done, Abort: r.branched,
	})
	r.end()
	switch {
	case err != nil && ctx.Err() != nil:
		return storage.Ended(ctx)
	case err != nil:
		return fmt.Errorf("%w: read it: %w", ErrUnavailable, err)
	case isClosed(r.done):
		return r.err
	case isClosed(r.branched):
		return errWentBack
	}
	return nil
}

// pending ends a scan that would read nothing.
func (r *replay) pending(n uint64) bool {
	if n == 0 && r.ends() {
		r.tail.last = r.to
		return false
	}
	return true
}

// begun reports that the log can be read. A replay that ends by itself does not report it: the
// tail does when it has caught up.
func (r *replay) begun() {
	if !r.ends() {
		r.tail.began()
	}
}

// ends reports whether the replay ends where the stream does. The message with the sequence
// to can be gone: retention removes it, or a power cut.
func (r *replay) ends() bool { return r.to != math.MaxUint64 }

// end waits until the tail's function returns, and prevents further calls.
func (r *replay) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// finish ends the replay. Mu is held.
func (r *replay) finish(err error) {
	r.over, r.err = true, err
	close(r.done)
}

// onMessage is called with each message of the stream, on the scan's goroutine.
func (r *replay) onMessage(m storage.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tail
	if r.over || m.Seq <= t.last || !r.waitUntilSure() {
		return
	}
	if gap := m.Seq - t.last - 1; gap > 0 && t.last > 0 {
		t.log.cfg.Logger.Warn("event log: events were removed before a tail read them", "events", gap, "before", t.log.CursorOf(m.Seq))
	}
	h := t.log.history
	isMarker := m.Subject == h.marker
	if isMarker && h.shared {
		h.readMarker(m.Data, m.Seq)
	}
	if err := h.advance(r.ctx, r.branch, t.last, m.Seq, m.Time); err != nil {
		r.finish(err)
		return
	}
	lineage := h.lineage()
	if lineage.branch != r.branch { // the message belongs to another history
		r.over = true
		return
	}
	if t.lineage != lineage && t.lineage != nil {
		t.changeLineage(lineage)
	}
	t.last = m.Seq
	t.log.out.release()
	t.f(r.entry(&m, lineage, isMarker))
	if m.Seq >= r.to || m.Pending == 0 && r.ends() {
		t.last = max(m.Seq, r.to)
		r.finish(nil)
	}
}

// entry returns the entry of a message, and counts a message that is not an event.
func (r *replay) entry(m *storage.Message, lineage *Lineage, isMarker bool) Entry {
	t := r.tail
	e, err := t.log.entry(m)
	e.Cursor = lineage.CursorOf(m.Seq)
	switch {
	case isMarker:
		marker, invalid := parseMarker(m.Data, m.Seq)
		e.Lost = invalid == nil && marker.lost
	case err != nil && t.live:
		t.log.skipped.add(SourceEvents, streamName, m.Subject+" at "+e.Cursor.String(), err)
	}
	return e
}

// errNotEvent says that the data of a message is not that of an event.
var errNotEvent = errors.New("its data is not an event's JSON")

// waitUntilSure waits while it is not known whether the stream still has the history that is
// read, and reports whether it has.
func (r *replay) waitUntilSure() bool {
	h := r.tail.log.history
	for h.unsure.Load() {
		select {
		case <-r.branched:
			return false
		case <-r.ctx.Done():
			return false
		case <-time.After(surePause):
		}
	}
	return h.lineage().branch == r.branch
}

// surePause is how soon a tail notices that a check has ended.
const surePause = 5 * time.Millisecond

// entry reads a message. A message that is not an event is an entry without a body, and an
// error that says why. Every entry with a body is one that [Log.Append] could have made,
// whatever the message contains.
func (l *Log) entry(m *storage.Message) (Entry, error) {
	e := Entry{Cursor: l.CursorOf(m.Seq)}
	target, err := target(m.Subject, m.Header)
	if err != nil {
		return e, err
	}
	key, err := decodeKey(m.Header.Get(headerKey))
	if err != nil {
		return e, err
	}
	published, ok := event.ReadBody(m.Data, target)
	if !ok {
		return e, errNotEvent
	}
	if published.IsZero() {
		published = m.Time
	}
	e.Target, e.Key, e.Body, e.Published = target, key, m.Data, published
	return e, nil
}
