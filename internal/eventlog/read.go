// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
)

// ErrNotRetained says that the log has no event at a place, or has none any more.
var ErrNotRetained = errors.New("not retained")

// Read calls f with every event behind a place, in order, up to the newest at the
// time of the call, whose sequence it returns. An error of f ends it and is
// returned. What is no event of ours comes as an Entry without a body. Where the
// sequence jumps, retention has taken events away.
func (l *Log) Read(ctx context.Context, after uint64, f func(Entry) error) (upTo uint64, err error) {
	return l.ReadIn(ctx, nil, after, f)
}

// ReadIn is Read of the history that a lineage is of, if that is the present one; else,
// and when the history goes back meanwhile, it is an error.
func (l *Log) ReadIn(ctx context.Context, in *Lineage, after uint64, f func(Entry) error) (upTo uint64, err error) {
	ctx, done, err := l.reading(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	first, last, err := l.Bounds(ctx)
	if err != nil {
		return 0, err
	}
	if first > last {
		return last, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	t := &tail{log: l, lineage: in, last: max(after, first-1), f: func(e Entry) {
		if failed != nil {
			return
		}
		if failed = f(e); failed != nil {
			cancel()
		}
	}}
	err = t.catchUp(ctx, last)
	switch {
	case failed != nil: // even when the end was reached before it was noticed
		return 0, failed
	case err != nil:
		return 0, err
	}
	return last, nil
}

// Get returns the event with a sequence, or [ErrNotRetained].
func (l *Log) Get(ctx context.Context, seq uint64) (Entry, error) {
	branch := l.Lineage().branch
	m, err := l.stream.GetMsg(ctx, seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Entry{}, fmt.Errorf("event %v: %w", l.CursorOf(seq), ErrNotRetained)
	case err != nil:
		return Entry{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := l.history.settle(ctx, seq); err != nil {
		return Entry{}, err
	}
	e, err := l.entry(m.Subject, m.Header, m.Data, m.Sequence, m.Time)
	if err != nil { // a marker, or somebody else's
		return Entry{}, fmt.Errorf("event %v: %w: %w", e.Cursor, ErrNotRetained, err)
	}
	e.Receipt = m.Header.Get(headerReceipt)
	e.Receipt = m.Header.Get(headerReceipt)
	return e, l.same(branch)
}

// same returns an error when the log's history is another than that of a branch, or may
// be.
func (l *Log) same(branch uint64) error {
	switch {
	case l.history.unsure.Load():
		return errUnsure
	case l.Lineage().branch != branch:
		return errWentBack
	}
	return nil
}

// A Query asks for retained events.
type Query struct {
	// GatewayID asks for the events of one gateway, which is in Groups; empty for
	// those of all.
	GatewayID string
	Groups    []string
	Type      string // empty for all
	// Wants leaves out events for which it returns false; nil: none.
	Wants func(event.Target, event.Cursor) bool
	After uint64 // sequence that what is listed comes behind
	Limit int
	Bytes int // of the events' JSON, but for the last one's; 0: without limit
}

// listFor bounds how long one call of List looks for events; half of it suffices
// for it to return with those it has found.
const listFor = 5 * time.Second

// List returns the events that a query asks for, the oldest first, and the place
// to go on from: at a limit that of the last one, else that of the newest event
// looked at. More reports whether there may be others behind it: there may also be
// when the list is short or empty, where what is asked for is rare.
func (l *Log) List(ctx context.Context, q Query) (list []Entry, next event.Cursor, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, listFor)
	defer cancel()
	branch := l.Lineage().branch
	_, last, err := l.Bounds(ctx)
	if err == nil {
		err = l.history.settle(ctx, last)
	}
	if err != nil {
		return nil, event.Cursor{}, false, err
	}
	var unnamed error
	at, enough, bytes := q.After, time.Now().Add(listFor/2), 0
	look := func(seq uint64, entry func() (Entry, error)) bool {
		if len(list) == q.Limit || q.Bytes > 0 && bytes >= q.Bytes || at > q.After && time.Now().After(enough) {
			more = true
			return false
		}
		if unnamed = l.history.settle(ctx, seq); unnamed != nil {
			return false
		}
		at = seq
		e, err := entry()
		if err == nil && q.wants(&e) {
			list = append(list, e)
			bytes += len(e.Body)
		}
		return true
	}
	cfg := l.consumer(q)
	err = l.fetch(ctx, streamName, cfg, q.Limit, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		seq := meta.Sequence.Stream
		return look(seq, func() (Entry, error) { return l.entry(m.Subject(), m.Headers(), m.Data(), seq, meta.Timestamp) })
	})
	for upTo := at; err == nil && unnamed == nil && !more && upTo < last && l.server.shared(); {
		upTo, err = l.newest(ctx, cfg.FilterSubjects, upTo, last, func(m *jetstream.RawStreamMsg) bool {
			return look(m.Sequence, func() (Entry, error) { return l.entry(m.Subject, m.Header, m.Data, m.Sequence, m.Time) })
		})
	}
	if err == nil {
		err = cmp.Or(unnamed, l.same(branch))
	}
	if err != nil {
		return nil, event.Cursor{}, false, err
	}
	if !more {
		at = max(at, last)
	}
	return list, l.CursorOf(at), more, nil
}

// maxNewest bounds the messages of a subject that newest holds at once.
const maxNewest = 16

// newest calls f with the messages of some subjects after a sequence, up to last, in
// order, until f returns false. It returns the sequence up to which there are no others:
// less than last when a subject has more than maxNewest. It asks the stream's leader: the
// consumer of a list may be on a server that does not have the newest messages yet, and
// so end before them.
func (l *Log) newest(ctx context.Context, subjects []string, after, last uint64, f func(*jetstream.RawStreamMsg) bool) (upTo uint64, err error) {
	if len(subjects) == 0 {
		subjects = []string{subjectPrefix + ">"}
	}
	upTo = last
	var found []*jetstream.RawStreamMsg
	for _, subject := range subjects {
		for seq, n := after+1, 0; seq <= upTo; n++ {
			if n == maxNewest { // what other subjects have after these waits too
				upTo = seq - 1
				break
			}
			m, err := l.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				return 0, fmt.Errorf("%w: read: %w", ErrUnavailable, err)
			}
			if m.Sequence > upTo {
				break
			}
			found = append(found, m)
			seq = m.Sequence + 1
		}
	}
	slices.SortFunc(found, func(a, b *jetstream.RawStreamMsg) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, m := range found {
		if m.Sequence > upTo || !f(m) {
			break
		}
	}
	return upTo, nil
}

// consumer returns the consumer that reads what a query may want.
func (l *Log) consumer(q Query) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: q.After + 1}
	if q.GatewayID != "" {
		cfg.FilterSubjects = []string{subjectPrefix + kindGateway + q.GatewayID, subjectPrefix + kindGateways, subjectPrefix + kindAll}
		for _, g := range q.Groups {
			cfg.FilterSubjects = append(cfg.FilterSubjects, subjectPrefix+kindGroup+g)
		}
	}
	return cfg
}

// wants reports whether a query asks for an event that its consumer gave.
func (q *Query) wants(e *Entry) bool {
	if q.Wants != nil && !q.Wants(e.Target, e.Cursor) {
		return false
	}
	if q.Type != "" && event.ReadHead(e.Body).Type != q.Type {
		return false
	}
	return q.GatewayID == "" || e.Target.All || e.Target.Group != "" || slices.Contains(e.Target.GatewayIDs, q.GatewayID)
}

// fetch reads what a stream has for a consumer, from where that begins, until f
// returns false or the newest has been read. What is held of it is bounded in bytes,
// but for one message.
func (l *Log) fetch(ctx context.Context, stream string, cfg jetstream.ConsumerConfig, batch int, f func(jetstream.Msg, *jetstream.MsgMetadata) bool) error {
	cfg.AckPolicy = jetstream.AckNonePolicy
	cfg.MemoryStorage, cfg.Replicas = true, 1
	cfg.InactiveThreshold = time.Minute
	c, err := l.js.CreateConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	name := c.CachedInfo().Name
	defer func() { // one that cannot be deleted goes by itself
		_ = l.js.DeleteConsumer(context.WithoutCancel(ctx), stream, name)
	}()
	size := min(max(batch+1, 1), pullMessages)
	left, more := c.CachedInfo().NumPending, true
	var unreadable error
	take := func(m *nats.Msg) bool {
		var meta *jetstream.MsgMetadata
		if meta, unreadable = metadata(m); unreadable != nil {
			return false
		}
		left = meta.NumPending
		more = f(pulled{m: m}, meta)
		return more
	}
	for bytes := pullBytes; left > 0 && more; {
		n, err := l.pull(ctx, stream, name, int(min(uint64(size), left)), bytes, take)
		if err = errors.Join(err, unreadable); err != nil {
			return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
		}
		switch {
		case n > 0:
			size, bytes = min(4*size, pullMessages), pullBytes
		case bytes > 0: // the next is larger than that, and comes alone
			size, bytes = 1, 0
		default: // what there was has left the stream meanwhile
			info, err := c.Info(ctx)
			if err != nil {
				return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
			}
			left, bytes = info.NumPending, pullBytes
		}
	}
	return nil
}
