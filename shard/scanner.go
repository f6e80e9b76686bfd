// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A Reader reads the log after a sequence. It calls f with every event in order, until
// f returns an error, which it then returns, or the newest event at the time of the
// call is read. upTo is the sequence of that event. Where the sequence jumps, retention
// has removed events. A message without Wire is a sequence without an event.
type Reader func(ctx context.Context, after uint64, f func(event.Target, *Message) error) (upTo uint64, err error)

const (
	// A page is handed over when it has this many events or bytes.
	pageEvents = 4096
	pageBytes  = 4 << 20

	// pageTimeout is how long a scan waits for the readers of a page.
	pageTimeout = 50 * time.Millisecond

	// scanDelay is how long a scan waits for more connections before it begins: those
	// that reconnect after a restart do not all come in the same millisecond.
	scanDelay = 100 * time.Millisecond

	// scanRetryDelay is the pause after the log could not be read.
	scanRetryDelay = time.Second
)

// errNoReaders ends a scan that nobody wants any more.
var errNoReaders = errors.New("no connection waits for the scan")

// A scanner reads the log for connections whose position is before the windows: from
// the lowest of their positions, once for all of them, as fast as they take it. A
// connection that comes later with a higher position joins the scan; one with a lower
// position waits for the next scan.
type scanner struct {
	router *Router
	read   Reader
	logger *slog.Logger
	wake   chan struct{} // has a token when a connection has begun to wait
	ended  chan struct{}
}

func startScanner(ctx context.Context, r *Router, cfg Config, wake chan struct{}) *scanner {
	sc := &scanner{router: r, read: cfg.Read, logger: cfg.Logger, wake: wake, ended: make(chan struct{})}
	go sc.run(ctx)
	return sc
}

// run scans whenever connections wait, until ctx ends.
func (sc *scanner) run(ctx context.Context) {
	defer close(sc.ended)
	for {
		select {
		case <-sc.wake:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			pause(ctx, scanDelay)
			from, ok := sc.minOffset()
			if !ok {
				break
			}
			if err := sc.scan(ctx, from); err != nil && ctx.Err() == nil {
				sc.logger.Error("cannot read the event log for gateways that resume; retrying", "error", err, "after", from)
				pause(ctx, scanRetryDelay)
			}
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// minOffset returns the lowest sequence from which any shard wants a scan; ok is
// false when none does.
func (sc *scanner) minOffset() (position uint64, ok bool) {
	for _, sh := range sc.router.shards {
		sh.call(func(s *state) {
			if at, some := s.minOffset(); some && (!ok || at < position) {
				position, ok = at, true
			}
		})
	}
	return position, ok
}

// scan reads the log after a sequence until nobody wants more.
func (sc *scanner) scan(ctx context.Context, from uint64) error {
	b := newPager(sc, from)
	upTo, err := sc.read(ctx, from, b.add)
	switch {
	case err == nil && upTo <= from:
		return fmt.Errorf("it ends at %d", upTo)
	case err == nil:
		err = b.end(upTo)
	}
	if errors.Is(err, errNoReaders) { // it has served everybody
		return nil
	}
	return err
}

// A pager fills the pages of a scan, one page per shard at a time. The scanner's
// goroutine owns it.
type pager struct {
	sc       *scanner
	lineage  Lineage    // the log's when the scan began
	pages    []*history // by shard
	position uint64     // the sequence that the scan has read up to
	events   int
	bytes    int
}

// newPager returns a pager with empty pages that begin after a sequence.
func newPager(sc *scanner, from uint64) *pager {
	b := &pager{sc: sc, lineage: *sc.router.lineage.Load(), position: from}
	b.newPages()
	return b
}

// newPages begins new pages at the current position.
func (b *pager) newPages() {
	b.events, b.bytes = 0, 0
	b.pages = make([]*history, len(b.sc.router.shards))
	for i := range b.pages {
		b.pages[i] = newHistory(b.position)
	}
}

// add adds an event to the pages of the shards that it is for.
func (b *pager) add(t event.Target, m *Message) error {
	if m.Cursor.Seq > b.position+1 {
		if err := b.markLost(m.Cursor.Seq - 1); err != nil {
			return err
		}
	}
	b.position = m.Cursor.Seq
	if m.Wire == nil { // a sequence without an event
		return nil
	}
	b.sc.router.route(t, func(i int, to receivers) { b.pages[i].add(to, m) })
	b.events++
	b.bytes += len(m.Wire)
	if b.events >= pageEvents || b.bytes >= pageBytes {
		return b.handOver(false)
	}
	return nil
}

// markLost hands over the pages so far, and then empty ones for the range that the log
// has lost.
func (b *pager) markLost(upTo uint64) error {
	if b.events > 0 {
		if err := b.handOver(false); err != nil {
			return err
		}
	}
	b.position = upTo
	return b.handOver(true)
}

// end is called when the log is read up to a sequence.
func (b *pager) end(upTo uint64) error {
	if upTo > b.position {
		return b.markLost(upTo)
	}
	return b.handOver(false)
}

// handOver hands the pages to the shards, waits until they are read, and begins new
// ones. It returns errNoReaders when nobody wants those.
func (b *pager) handOver(lost bool) error {
	done := make(chan int, len(b.pages))
	pages := make([]*page, len(b.pages))
	for i, h := range b.pages {
		h.upTo = b.position
		pages[i] = &page{history: h, lost: lost, lineage: b.lineage, done: done}
		b.sc.router.shards[i].post(command{page: pages[i]})
	}
	if b.await(pages, done) == 0 {
		return errNoReaders
	}
	b.newPages()
	return nil
}

// await waits until the pages are read, and returns how many connections want more.
func (b *pager) await(pages []*page, done <-chan int) (more int) {
	patience := time.NewTimer(pageTimeout)
	defer patience.Stop()
	for range pages {
		select {
		case n := <-done:
			more += n
			continue
		case <-patience.C:
		}
		for i, p := range pages {
			b.sc.router.shards[i].post(command{do: func(s *state) { s.evictReaders(p) }})
		}
		more += <-done
	}
	return more
}
