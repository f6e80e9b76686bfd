// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// An appender matches the stream's answers to the appends that wait for them. It is safe for
// concurrent use.
//
// An append is in waiting from enter to complete. It ends in one of five ways: its answer comes
// (onAck), its answer can be named later (release), it is overdue (sweep), the connection or the
// history is lost (failAll), or sending fails (publish). Whichever is first removes it from
// waiting and closes Pending.done. The others then find nothing.
type appender struct {
	log       *Log              // constant
	publisher storage.Publisher // constant after listen

	diagnosing atomic.Bool
	delayed    atomic.Int64 // len(unnamed)

	mu      sync.Mutex
	waiting map[uint64]*Pending // by number
	number  uint64              // of the newest message
	newest  uint64              // the highest number that was answered
	heard   time.Time           // when the last answer came
	bytes   int                 // size of what is waiting
	room    chan struct{}       // closed when there is room; nil when nobody waits for it
	unnamed []unnamedAck        // answered, but not named yet; in the order of the answers
	swept   bool                // a sweep is scheduled
	broken  error               // the store failed; nothing more is taken
	closed  bool
}

// An unnamedAck is an answer whose event cannot be named yet: a marker that this node has not
// seen can be before it.
type unnamedAck struct {
	number uint64
	ack    storage.Ack
}

var (
	// errUnnamed says that an answer is in unnamed.
	errUnnamed = errors.New("not named yet")
	// errBranched says that the log went back, or can have, while an event was in progress.
	errBranched = fmt.Errorf("%w: its history has changed; publish the event again", ErrUnavailable)
)

// newAppender returns an appender that cannot send before listen.
func newAppender(l *Log) *appender {
	return &appender{log: l, waiting: make(map[uint64]*Pending)}
}

// listen begins to receive answers.
func (a *appender) listen() (err error) {
	if a.publisher, err = a.log.store.Publisher(streamName, a.onAck); err != nil {
		return err
	}
	return a.publisher.Listening()
}

// enter waits until the window has room for size bytes and takes it.
func (a *appender) enter(ctx context.Context, size int, e Entry) (uint64, *Pending, error) {
	for {
		a.mu.Lock()
		room := a.room
		switch {
		case a.closed:
			a.mu.Unlock()
			return 0, nil, storage.ErrClosed
		case a.broken != nil:
			err := a.broken
			a.mu.Unlock()
			return 0, nil, err
		case a.log.history.unsure.Load():
			a.mu.Unlock()
			return 0, nil, errUnsure
		case room == nil && a.fits(size):
			number, p := a.add(size, e)
			a.mu.Unlock()
			return number, p, nil
		case room == nil:
			a.room = make(chan struct{})
			room = a.room
		}
		a.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// fits reports whether the window has room. An event always fits into an empty window. Mu is
// held.
func (a *appender) fits(size int) bool {
	n := len(a.waiting)
	return n == 0 || n < windowEvents && a.bytes+size <= windowBytes
}

// add adds an append to the window. Mu is held.
func (a *appender) add(size int, e Entry) (uint64, *Pending) {
	p := &Pending{size: size, due: time.Now().Add(appendTimeout), entry: e, done: make(chan struct{})}
	p.branch, p.after = a.log.Lineage().branch, a.log.history.last.load()
	a.number++
	a.waiting[a.number] = p
	a.bytes += size
	if !a.swept {
		a.swept = true
		time.AfterFunc(appendTimeout, a.sweep)
	}
	return a.number, p
}

// complete ends an append, once, and returns what the tails get. Mu is held.
func (a *appender) complete(number uint64, k storage.Ack, err error) (e Entry) {
	p, ok := a.waiting[number]
	if !ok {
		return Entry{} // it failed before
	}
	e, p.entry, p.again = p.entry, Entry{}, nil // the caller can hold p for long; free the body
	delete(a.waiting, number)
	a.bytes -= p.size
	if p.err = err; err == nil {
		p.cursor, p.duplicate = a.log.CursorOf(k.Seq), k.Duplicate
	}
	if p.duplicate { // the position is that of another body
		e = Entry{}
	}
	close(p.done)
	// Waiting callers continue when half of the window is free, and not for each event: that
	// would switch goroutines for each event.
	if a.room != nil && (a.closed || len(a.waiting) <= windowEvents/2 && a.bytes <= windowBytes/2) {
		close(a.room)
		a.room = nil
	}
	return e
}

// onAck is called with each answer of the stream, on one goroutine.
func (a *appender) onAck(number uint64, k storage.Ack, err error) {
	switch {
	case err == nil:
	case errors.Is(err, storage.ErrInProgress):
		if a.sendAgain(number) {
			return
		}
	case errors.Is(err, storage.ErrNoStream):
		a.log.checkSoon() // which makes it again
	}
	a.answered(number, k, err)
}

// answered completes what the log has answered. The tails get the event after that, and so run
// first: a gateway's event does not wait for the publisher's receipt.
func (a *appender) answered(number uint64, k storage.Ack, err error) {
	a.mu.Lock()
	a.newest, a.heard = max(a.newest, number), time.Now()
	if err == nil {
		if err = a.stored(number, k); errors.Is(err, errUnnamed) {
			a.mu.Unlock()
			return
		}
	}
	e := a.complete(number, k, err)
	a.mu.Unlock()
	if err == nil {
		e.Cursor = a.log.CursorOf(k.Seq)
		a.log.feed.push(e)
	}
}

// stored records where an event was stored. Its error is errUnnamed if the event cannot be
// named yet. Mu is held.
func (a *appender) stored(number uint64, k storage.Ack) error {
	p, ok := a.waiting[number]
	if !ok {
		return nil
	}
	h := a.log.history
	switch {
	case p.branch != h.lineage().branch:
		return errBranched
	case h.shared && k.Seq <= p.after && !k.Duplicate: // the stream has gone back
		h.unsure.Store(true)
		a.log.checkSoon()
		return errBranched
	}
	h.last.advance(p.branch, k.Seq)
	if !h.shared || k.Seq <= h.known.load() {
		return nil
	}
	a.unnamed = append(a.unnamed, unnamedAck{number, k})
	a.delayed.Add(1)
	if k.Seq <= h.known.load() { // since just now, and release can have missed it
		a.unnamed = a.unnamed[:len(a.unnamed)-1]
		a.delayed.Add(-1)
		return nil
	}
	if a.log.tails.Load() == 0 {
		a.log.checkSoon()
	}
	return errUnnamed
}

// release completes the unnamed answers that can be named now. It is called when a tail or a
// check has come further.
func (a *appender) release() {
	if a.delayed.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known, n := a.log.history.known.load(), 0
	for ; n < len(a.unnamed) && a.unnamed[n].ack.Seq <= known; n++ {
		a.complete(a.unnamed[n].number, a.unnamed[n].ack, nil)
	}
	a.unnamed = slices.Delete(a.unnamed, 0, n)
	a.delayed.Add(int64(-n))
}

// sweep fails what is overdue. It runs appendTimeout after the first append, and again while
// anything is waiting.
func (a *appender) sweep() {
	now := time.Now()
	a.mu.Lock()
	overdue, next := false, now.Add(appendTimeout)
	for number, p := range a.waiting {
		if due := a.due(number, p); due.After(now) {
			if due.Before(next) {
				next = due
			}
			continue
		}
		overdue = true
		a.complete(number, storage.Ack{}, fmt.Errorf("%w: no answer in %v%s", ErrUnavailable, appendTimeout, a.log.store.LastError()))
	}
	a.swept = len(a.waiting) > 0
	if a.swept {
		time.AfterFunc(next.Sub(now), a.sweep)
	}
	a.mu.Unlock()
	if overdue {
		a.diagnose()
	}
}

// due returns when p fails if no answer comes. While the stream answers, p waits longer.
// Answers come nearly in the order of the numbers. When a whole window of later ones has been
// answered, p will get no answer. Mu is held.
func (a *appender) due(number uint64, p *Pending) time.Time {
	if stalled := a.heard.Add(appendTimeout); number+windowEvents > a.newest && stalled.After(p.due) {
		return stalled
	}
	return p.due
}

// diagnose finds out whether the store has failed. Then nothing more is taken. It can block
// for as long as the disk hangs.
func (a *appender) diagnose() {
	if !a.diagnosing.CompareAndSwap(false, true) {
		return
	}
	defer a.diagnosing.Store(false)
	broken := a.log.store.Health()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = broken
}

// failAll fails every append in progress.
func (a *appender) failAll(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failWaiting(err)
}

// failWaiting is failAll with mu held.
func (a *appender) failWaiting(err error) {
	for number := range a.waiting {
		a.complete(number, storage.Ack{}, err)
	}
	a.unnamed = nil
	a.delayed.Store(0)
}

// failed returns the failure of the store, or nil.
func (a *appender) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken
}

// drain takes nothing more, and waits until every append in progress has ended.
func (a *appender) drain() {
	a.mu.Lock()
	a.closed = true
	if a.room != nil {
		close(a.room) // those who wait for room return
		a.room = nil
	}
	waiting := make([]*Pending, 0, len(a.waiting))
	for _, p := range a.waiting {
		waiting = append(waiting, p)
	}
	a.mu.Unlock()
	for _, p := range waiting {
		<-p.done
	}
}
