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

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
)

// replayHeartbeat is how often the server says that it is there; after twice that
// a replay begins anew from where it stood.
const replayHeartbeat = 5 * time.Second

// A replay takes a tail to a sequence by reading the stream.
type replay struct {
	tail   *tail
	ctx    context.Context // of run
	branch uint64          // of the history that is read
	turned <-chan struct{} // closed when there is another
	to     uint64
	done   chan struct{} // closed when the tail is there

	mu   sync.Mutex // held while the tail's function runs
	over bool       // the tail is not ours any more
	err  error      // why it ended before it was there
}

// run reads with an ordered consumer, which begins anew by itself when it lost a
// message or its connection. Measured against its siblings, its callback form
// reads the past fastest.
func (r *replay) run(ctx context.Context) error {
	l := r.tail.log
	consumer, err := l.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.tail.last + 1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return r.failed(ctx, err)
	}
	if consumer.CachedInfo().NumPending == 0 && r.ends() {
		r.tail.last = r.to
		_ = l.js.DeleteConsumer(ctx, streamName, consumer.CachedInfo().Name) // or it goes in a minute
		return nil
	}
	c, err := consumer.Consume(r.onMsg,
		jetstream.PullMaxMessagesWithBytesLimit(tailEvents, max(tailBytes, 2*(l.cfg.MaxEventBytes+headroom))),
		jetstream.PullHeartbeat(l.heartbeat()),
		jetstream.ConsumeErrHandler(r.onErr),
	)
	if err != nil {
		return r.failed(ctx, err)
	}
	defer r.end()
	defer c.Stop()
	if !r.ends() {
		r.tail.began()
	}
	select {
	case <-r.turned:
		return errWentBack
	case <-r.done:
		c.Stop() // first, or it would begin anew when it finds its consumer gone
		// Left alone, the consumer would be told of every event for another minute.
		// If deleting it fails, that is all that happens.
		_ = l.js.DeleteConsumer(ctx, streamName, consumer.CachedInfo().Name)
		return r.err
	case <-ctx.Done():
		return ended(ctx)
	case <-c.Closed():
		return fmt.Errorf("%w: the tail was cut off", ErrUnavailable)
	}
}

// ends reports whether the replay ends where the stream does. What stood at the
// sequence it goes to may be gone: retention takes it, or a power cut did.
func (r *replay) ends() bool { return r.to != math.MaxUint64 }

func (r *replay) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return fmt.Errorf("%w: read it: %w", ErrUnavailable, err)
}

// end waits for the tail's function to return and has it called no more.
func (r *replay) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

func (r *replay) onErr(_ jetstream.ConsumeContext, err error) {
	if errors.Is(err, jetstream.ErrConnectionClosed) {
		return // the log is closing
	}
	r.tail.stumbled(err)
}

func (r *replay) onMsg(m jetstream.Msg) {
	t := r.tail
	meta, err := m.Metadata()
	if err != nil {
		t.log.cfg.Logger.Error("event log: a message is no event of the stream", "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	seq := meta.Sequence.Stream
	if r.over || seq <= t.last || !r.sure() {
		return
	}
	if gap := seq - t.last - 1; gap > 0 && t.last > 0 {
		t.log.cfg.Logger.Warn("event log: events were removed before a tail came to them", "events", gap, "before", t.log.CursorOf(seq))
	}
	h := t.log.history
	isMarker := m.Subject() == h.marker
	if isMarker && h.shared {
		h.saw(m.Data(), seq)
	}
	if err := h.passed(r.ctx, r.branch, t.last, seq, meta.Timestamp); err != nil {
		r.over, r.err = true, err
		close(r.done)
		return
	}
	lineage := h.lineage()
	if lineage.branch != r.branch { // it is another history's
		r.over = true
		return
	}
	if t.lineage != lineage && t.lineage != nil {
		t.turn(lineage)
	}
	t.last = seq
	t.log.out.release()
	e, err := t.log.entry(m.Subject(), m.Headers(), m.Data(), seq, meta.Timestamp)
	e.Cursor = lineage.CursorOf(seq)
	switch {
	case isMarker:
		marker, bad := parseMarker(m.Data(), seq)
		e.Lost = bad == nil && marker.lost
	case err != nil && t.live:
		t.log.foreign.found(SourceEvents, streamName, m.Subject()+" at "+e.Cursor.String(), err)
	}
	t.f(e)
	if seq >= r.to || meta.NumPending == 0 && r.ends() {
		t.last = max(seq, r.to)
		r.over = true
		close(r.done)
	}
}

// errNotEvent says that a message's data is not an event's.
var errNotEvent = errors.New("its data is not an event's JSON")

// sure waits while it is not known whether the stream still has the history that is read,
// and reports whether it has.
func (r *replay) sure() bool {
	h := r.tail.log.history
	for h.unsure.Load() {
		select {
		case <-r.turned:
			return false
		case <-r.ctx.Done():
			return false
		case <-time.After(surePause):
		}
	}
	return h.lineage().branch == r.branch
}

// surePause is how soon a tail notices that a check has come to an end.
const surePause = 5 * time.Millisecond

// entry reads a message. One that is no event of ours has an entry without a body,
// and an error that says why. Whatever stands in it, an entry with a body is one that
// [Log.Append] could have made.
func (l *Log) entry(subject string, header nats.Header, data []byte, seq uint64, at time.Time) (Entry, error) {
	e := Entry{Cursor: l.CursorOf(seq)}
	target, err := target(subject, header)
	if err != nil {
		return e, err
	}
	key, err := decodeKey(header.Get(headerKey))
	if err != nil {
		return e, err
	}
	published, ok := event.ReadBody(data, target)
	if !ok {
		return e, errNotEvent
	}
	if published.IsZero() {
		published = at
	}
	e.Target, e.Key, e.Body, e.Published = target, key, data, published
	return e, nil
}
