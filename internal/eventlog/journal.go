// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
)

// A JournalConfig says what a journal is called and what it keeps.
type JournalConfig struct {
	Name      string        // letters, digits and _
	Retention time.Duration // zero: without limit
	Bytes     int64         // at the bound the oldest records go; zero: without limit
	// Valid reports whether a record is one that the journal's writers make; others are
	// skipped and counted. Nil: every record is.
	Valid func(Record) bool
}

// A Record is a piece of a journal.
type Record struct {
	Seq uint64 // its place
	// Cursor is its position, as Read gives it.
	Cursor event.Cursor
	Name   string    // whose it is; what cannot stand in a subject is _ in it
	At     time.Time // when the journal took it
	Data   []byte
	// Epoch is one of the log of events: what Data says of sequences there is meant in its
	// history. Zero is the one that the log had before there were markers.
	Epoch uint64
	// Missing is set in a gap, which [Journal.ReadOn] gives: so many records up to Seq
	// have left the journal. At is about when.
	Missing uint64

	id string // of what is appended, see Journal.Append
}

// headerEpoch has a record's epoch, as it stands in ids.
const headerEpoch = "Gatecast-Epoch"

// A Journal keeps small records beside the events, in order: in the stream
// gatecast_NAME, under the subjects gatecast.NAME.RECORDNAME. Any goroutine may
// use it. Its errors match [ErrUnavailable], unless they are the context's.
type Journal struct {
	*history
	prefix string // of subjects
	valid  func(Record) bool

	run  string        // names this process in the ids of records
	next atomic.Uint64 // number of the newest record that was given an id

	noted atomic.Uint64 // the newest record that was noted as foreign
}

// Journal opens a journal, or makes it.
func (l *Log) Journal(ctx context.Context, cfg JournalConfig) (*Journal, error) {
	j := &Journal{prefix: "gatecast." + cfg.Name + ".", valid: cfg.Valid, run: fmt.Sprintf("%016x", rand.Uint64())}
	if j.valid == nil {
		j.valid = func(Record) bool { return true }
	}
	sc := jetstream.StreamConfig{
		Name:     "gatecast_" + cfg.Name,
		Subjects: []string{j.prefix + "*"},
		Storage:  l.storage(),
		Discard:  jetstream.DiscardOld,
		MaxAge:   cfg.Retention,
		MaxBytes: -1,
		// A writer tries again for much less than that.
		Duplicates: duplicatesFor,
	}
	if cfg.Retention > 0 {
		sc.Duplicates = min(sc.Duplicates, cfg.Retention)
	}
	if cfg.Bytes > 0 {
		sc.MaxBytes = cfg.Bytes
	}
	s, made, err := l.openStream(ctx, sc)
	if err != nil {
		return nil, fmt.Errorf("event log: open journal %s: %w%s", cfg.Name, err, l.server.because())
	}
	// No record has such a name.
	if j.history, err = l.openHistory(ctx, sc, j.prefix+"="+kindEpoch, s, made); err != nil {
		return nil, err
	}
	return j, nil
}

// Lineage returns the journal's lineage as the journal has it now.
func (j *Journal) Lineage(ctx context.Context) (*Lineage, error) {
	if err := j.refresh(ctx); err != nil {
		return nil, err
	}
	return j.lineage(), nil
}

// Resolve returns the sequence of a position in the journal, and reports whether its
// history contains what the position stands for.
func (j *Journal) Resolve(ctx context.Context, c event.Cursor) (seq uint64, ok bool, err error) {
	l, err := j.Lineage(ctx)
	if err != nil {
		return 0, false, err
	}
	return c.Seq, l.Contains(c) && c.Seq <= j.last.load(), nil
}

func (j *Journal) subject(name string) string {
	return j.prefix + strings.Map(func(r rune) rune {
		if event.ValidName(string(r)) {
			return r
		}
		return '_'
	}, name)
}

// identify gives records an id each, unless they have one.
func (j *Journal) identify(records []Record) {
	for i := range records {
		if records[i].id == "" {
			records[i].id = j.run + "-" + strconv.FormatUint(j.next.Add(1), 36)
		}
	}
}

// appendBatch is how many records are on their way at once.
const appendBatch = 1024

// Append adds records, of which it takes Name and Data, and returns the place of
// the last one once the log has all. When it fails, some may be there. Called again with
// the same slice within two minutes, it adds those that are not: each record in the slice
// is given an id, by which the journal takes it once. The slice is one caller's at a time.
func (j *Journal) Append(ctx context.Context, records ...Record) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	j.identify(records)
	for len(records) > 0 {
		n := min(len(records), appendBatch)
		if last, err = j.append(ctx, records[:n]); err != nil {
			return 0, err
		}
		j.log.held.note(j.name, extent{Last: last})
		records = records[n:]
	}
	return last, nil
}

func (j *Journal) append(ctx context.Context, records []Record) (last uint64, err error) {
	branch := j.lineage().branch
	acks := make([]jetstream.PubAckFuture, 0, len(records))
	for i := range records {
		if err := j.log.space.take(len(records[i].Data) + messageOverhead); err != nil {
			return 0, err
		}
		msg := &nats.Msg{
			Subject: j.subject(records[i].Name), Data: records[i].Data,
			Header: nats.Header{nats.MsgIdHdr: {records[i].id}},
		}
		if records[i].Epoch != 0 {
			msg.Header[headerEpoch] = []string{formatEpoch(records[i].Epoch)}
		}
		ack, err := j.log.js.PublishMsgAsync(msg)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case a := <-ack.Ok():
			last = a.Sequence
			j.last.advance(branch, last)
		case err := <-ack.Err():
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
	return last, nil
}

// Bounds asks the journal for the places of its oldest and its newest record. First
// is one behind last when there is none.
func (j *Journal) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := j.stream.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if info.State.Msgs == 0 {
		return info.State.LastSeq + 1, info.State.LastSeq, nil
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// A JournalQuery asks for records.
type JournalQuery struct {
	After    uint64    // place that they come behind
	From, To time.Time // when they were taken; zero: without limit
	Name     string    // whose; empty for everybody's
	Limit    int
	// In is the lineage that After is of; nil: the present one. Reading another history is
	// an error.
	In *Lineage
}

// readBytes bounds what one Read returns, in bytes, but for its last record.
const readBytes = 4 << 20

// Read returns the records that a query asks for, the oldest first; fewer than the
// limit also when they are large.
func (j *Journal) Read(ctx context.Context, q JournalQuery) (records []Record, err error) {
	records, _, err = j.readAfter(ctx, q, false)
	return records, err
}

// ReadOn is Read for somebody who goes on from position to position and is to miss
// nothing unnoticed: of everybody's records, with a gap, which counts as one, where some
// have left the journal. Next is the position to go on from, also when there are none.
func (j *Journal) ReadOn(ctx context.Context, q JournalQuery) (records []Record, next event.Cursor, err error) {
	first, _, err := j.Bounds(ctx)
	if err != nil {
		return nil, event.Cursor{}, err
	}
	records, upTo, err := j.readAfter(ctx, q, true)
	if err != nil {
		return nil, event.Cursor{}, err
	}
	if upTo+1 < first && len(records) < q.Limit { // nothing is behind the gap yet
		gap := Record{Seq: first - 1, Missing: first - 1 - upTo, At: time.Now()}
		gap.Cursor = j.lineage().CursorOf(gap.Seq)
		records, upTo = append(records, gap), gap.Seq
	}
	return records, j.lineage().CursorOf(upTo), nil
}

// readAfter returns what a query asks for and the sequence up to which it has looked.
func (j *Journal) readAfter(ctx context.Context, q JournalQuery, gaps bool) (records []Record, upTo uint64, err error) {
	in := q.In
	if in == nil {
		in = j.lineage()
	}
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: q.After + 1}
	if q.After == 0 && !q.From.IsZero() {
		cfg = jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &q.From}
	}
	if q.Name != "" {
		cfg.FilterSubject = j.subject(q.Name)
	}
	bytes := 0
	upTo = q.After
	err = j.log.fetch(ctx, j.name, cfg, q.Limit, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		r := j.record(m, meta)
		if gaps && r.Seq > upTo+1 {
			records = append(records, Record{Seq: r.Seq - 1, Missing: r.Seq - 1 - upTo, At: r.At})
			if upTo = r.Seq - 1; len(records) == q.Limit {
				return false
			}
		}
		upTo = r.Seq
		switch {
		case m.Subject() == j.marker:
			return true
		case !j.valid(r):
			j.foreign(r)
			return true
		case !q.To.IsZero() && r.At.After(q.To):
			return false
		case r.At.Before(q.From):
			return true
		}
		records = append(records, r)
		bytes += len(r.Data)
		return len(records) < q.Limit && bytes < readBytes
	})
	if err != nil {
		return nil, 0, err
	}
	if err := j.settle(ctx, upTo); err != nil {
		return nil, 0, err
	}
	now := j.lineage()
	if now.branch != in.branch {
		return nil, 0, errWentBack
	}
	for i := range records {
		records[i].Cursor = now.CursorOf(records[i].Seq)
	}
	return records, upTo, nil
}

func (j *Journal) record(m jetstream.Msg, meta *jetstream.MsgMetadata) Record {
	epoch, _ := strconv.ParseUint(m.Headers().Get(headerEpoch), 36, 64)
	return Record{
		Epoch: epoch, Seq: meta.Sequence.Stream, Name: strings.TrimPrefix(m.Subject(), j.prefix),
		At: meta.Timestamp, Data: m.Data(),
	}
}

// Await returns nil when there is a record behind a place, and ctx's error when
// ctx ends before.
func (j *Journal) Await(ctx context.Context, after uint64) error {
	ctx, done, err := j.log.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	found := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = j.follow(ctx, after, func() {}, func(Record) {
		if ctx.Err() == nil {
			close(found)
			cancel()
		}
	})
	select {
	case <-found:
		return nil
	default:
		return err
	}
}

// Follow calls f with every record behind a place, then synced, and then f with
// every later one until ctx ends, from one goroutine at a time. It returns ctx's
// error, or why it cannot go on.
func (j *Journal) Follow(ctx context.Context, after uint64, synced func(), f func(Record)) error {
	ctx, done, err := j.log.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	return j.follow(ctx, after, synced, f)
}

func (j *Journal) follow(ctx context.Context, after uint64, synced func(), f func(Record)) error {
	for known := (*Lineage)(nil); ; {
		lineage, turned := j.watch()
		if known != nil {
			after = min(after, known.Common(lineage))
		}
		known = lineage
		err := j.followBranch(ctx, &after, turned, synced, f)
		if !errors.Is(err, errWentBack) {
			return err
		}
	}
}

// followBranch follows the journal until its history goes back.
func (j *Journal) followBranch(ctx context.Context, after *uint64, turned <-chan struct{}, synced func(), f func(Record)) error {
	ctx, cancel, err := j.log.connected(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	j.log.readers.Go(func() {
		select {
		case <-turned:
			cancel()
		case <-over:
		}
	})
	err = j.read(ctx, after, synced, f)
	switch {
	case isClosed(turned):
		return errWentBack
	case ctx.Err() != nil:
		return ended(ctx)
	}
	return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
}

// read carries records to f until something goes wrong.
func (j *Journal) read(ctx context.Context, after *uint64, synced func(), f func(Record)) error {
	_, last, err := j.Bounds(ctx)
	if err != nil {
		return err
	}
	return j.log.consume(ctx, j.name, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   *after + 1,
	}, func(pending uint64) {
		if pending == 0 {
			synced()
			last = 0
		}
	}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		*after = meta.Sequence.Stream
		switch r := j.record(m, meta); {
		case m.Subject() == j.marker:
			if j.shared {
				j.saw(m.Data(), r.Seq)
			}
		case j.valid(r):
			f(r)
		default:
			j.foreign(r)
		}
		// What had the last place may have been purged.
		if last > 0 && (meta.Sequence.Stream >= last || meta.NumPending == 0) {
			synced()
			last = 0
		}
		return nil
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// foreign notes a record that is not gatecast's, once.
func (j *Journal) foreign(r Record) {
	for {
		noted := j.noted.Load()
		if r.Seq <= noted {
			return
		}
		if j.noted.CompareAndSwap(noted, r.Seq) {
			break
		}
	}
	j.log.foreign.found(SourceJournal, j.name, fmt.Sprintf("%s%s at %d", j.prefix, r.Name, r.Seq), errNotRecord)
}

var errNotRecord = errors.New("it is no record of this journal")

// Purge removes the records of a name before a place.
func (j *Journal) Purge(ctx context.Context, name string, before uint64) error {
	if before <= 1 { // zero would mean all of them to JetStream
		return nil
	}
	err := j.stream.Purge(ctx, jetstream.WithPurgeSubject(j.subject(name)), jetstream.WithPurgeSequence(before))
	if err != nil {
		return fmt.Errorf("%w: purge: %w", ErrUnavailable, err)
	}
	return nil
}
