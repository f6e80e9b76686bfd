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

// A Reader reads the log from behind a place: it calls f with every event in
// order, until f returns an error, which it then returns, or the newest event at
// the time of the call has been read. upTo is that one's sequence. Where the
// sequence jumps, retention has taken events away. A message without a wire is
// for nobody.
type Reader func(ctx context.Context, after uint64, f func(event.Target, *Message) error) (upTo uint64, err error)

const (
	// A page is handed over when it has so many events or bytes.
	pageEvents = 4096
	pageBytes  = 4 << 20

	// slowReader is how long a scan waits for those who read a page before it
	// goes on without them.
	slowReader = 50 * time.Millisecond

	// scanGathers is how long a scan waits for others to be carried too: those who
	// come back at once after a restart do not come in the same millisecond.
	scanGathers = 100 * time.Millisecond

	// scanPause is the pause after the log could not be read.
	scanPause = time.Second
)

// errNobody ends a scan that nobody wants any more.
var errNobody = errors.New("nobody is behind")

// A scanner reads the log for the connections whose place is older than what the
// windows hold: from the earliest of their places on, once for all of them, and
// as fast as they take it. Who comes meanwhile with a later place joins; who
// comes with an earlier one waits for the next scan.
type scanner struct {
	router *Router
	read   Reader
	logger *slog.Logger
	wake   chan struct{} // has a token when somebody has fallen behind
	ended  chan struct{}
}

func startScanner(ctx context.Context, r *Router, cfg Config, wake chan struct{}) *scanner {
	sc := &scanner{router: r, read: cfg.Read, logger: cfg.Logger, wake: wake, ended: make(chan struct{})}
	go sc.run(ctx)
	return sc
}

func (sc *scanner) run(ctx context.Context) {
	defer close(sc.ended)
	for {
		select {
		case <-sc.wake:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			pause(ctx, scanGathers)
			from, ok := sc.farthestBehind()
			if !ok {
				break
			}
			if err := sc.scan(ctx, from); err != nil && ctx.Err() == nil {
				sc.logger.Error("the event log cannot be read for gateways that resume; trying again", "error", err, "after", from)
				pause(ctx, scanPause)
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (sc *scanner) farthestBehind() (place uint64, ok bool) {
	for _, sh := range sc.router.shards {
		sh.ask(func(s *state) {
			if at, some := s.farthestBehind(); some && (!ok || at < place) {
				place, ok = at, true
			}
		})
	}
	return place, ok
}

// scan reads the log from behind a place until nobody wants more.
func (sc *scanner) scan(ctx context.Context, from uint64) error {
	b := newPager(sc, from)
	upTo, err := sc.read(ctx, from, b.add)
	switch {
	case err == nil && upTo <= from:
		return fmt.Errorf("it ends at %d", upTo)
	case err == nil:
		err = b.end(upTo)
	}
	if errors.Is(err, errNobody) { // it has done what it was for
		return nil
	}
	return err
}

// A pager fills the pages of a scan, one for every shard at a time.
type pager struct {
	sc     *scanner
	in     Lineage    // when the scan began
	pages  []*history // by shard
	at     uint64     // the place the scan has come to
	events int
	bytes  int
}

func newPager(sc *scanner, from uint64) *pager {
	b := &pager{sc: sc, in: *sc.router.lineage.Load(), at: from}
	b.begin()
	return b
}

// begin begins new pages.
func (b *pager) begin() {
	b.events, b.bytes = 0, 0
	b.pages = make([]*history, len(b.sc.router.shards))
	for i := range b.pages {
		b.pages[i] = newHistory(b.at)
	}
}

// add puts an event into the pages of the shards it is for.
func (b *pager) add(t event.Target, m *Message) error {
	if m.Cursor.Seq > b.at+1 {
		if err := b.lose(m.Cursor.Seq - 1); err != nil {
			return err
		}
	}
	b.at = m.Cursor.Seq
	if m.Wire == nil { // no event's place
		return nil
	}
	b.sc.router.route(t, func(i int, to receivers) { b.pages[i].add(to, m) })
	b.events++
	b.bytes += len(m.Wire)
	if b.events >= pageEvents || b.bytes >= pageBytes {
		return b.turn(false)
	}
	return nil
}

// lose says that the log has nothing from here up to a place.
func (b *pager) lose(upTo uint64) error {
	if b.events > 0 {
		if err := b.turn(false); err != nil {
			return err
		}
	}
	b.at = upTo
	return b.turn(true)
}

// end is called when the log was read to a place.
func (b *pager) end(upTo uint64) error {
	if upTo > b.at {
		return b.lose(upTo)
	}
	return b.turn(false)
}

// turn hands the pages to the shards, waits until they are read, and begins new
// ones. It returns errNobody when nobody wants those.
func (b *pager) turn(lost bool) error {
	done := make(chan int, len(b.pages))
	pages := make([]*page, len(b.pages))
	for i, h := range b.pages {
		h.upTo = b.at
		pages[i] = &page{history: h, lost: lost, in: b.in, done: done}
		b.sc.router.shards[i].post(command{page: pages[i]})
	}
	if b.await(pages, done) == 0 {
		return errNobody
	}
	b.begin()
	return nil
}

// await waits for the pages to be read, and returns how many connections want
// more.
func (b *pager) await(pages []*page, done <-chan int) (more int) {
	patience := time.NewTimer(slowReader)
	defer patience.Stop()
	for range pages {
		select {
		case n := <-done:
			more += n
			continue
		case <-patience.C:
		}
		for i, p := range pages {
			b.sc.router.shards[i].post(command{do: func(s *state) { s.takeAway(p) }})
		}
		more += <-done
	}
	return more
}
