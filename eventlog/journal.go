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

	"gatecast/event"
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
	Seq  uint64    // its place, from 1
	Name string    // whose it is; what cannot stand in a subject is _ in it
	At   time.Time // when the journal took it
	Data []byte

	id string // of what is appended, see Journal.Append
}

// A Journal keeps small records beside the events, in order: in the stream
// gatecast_NAME, under the subjects gatecast.NAME.RECORDNAME. Any goroutine may
// use it. Its errors match [ErrUnavailable], unless they are the context's.
type Journal struct {
	log    *Log
	stream jetstream.Stream
	name   string // of the stream
	prefix string // of subjects
	epoch  uint64
	valid  func(Record) bool

	run  string        // names this process in the ids of records
	next atomic.Uint64 // number of the newest record that was given an id

	noted atomic.Uint64 // the newest record that was noted as foreign
}

// Journal opens a journal, or makes it.
func (l *Log) Journal(ctx context.Context, cfg JournalConfig) (*Journal, error) {
	j := &Journal{log: l, name: "gatecast_" + cfg.Name, prefix: "gatecast." + cfg.Name + ".", valid: cfg.Valid, run: fmt.Sprintf("%016x", rand.Uint64())}
	if j.valid == nil {
		j.valid = func(Record) bool { return true }
	}
	sc := jetstream.StreamConfig{
		Name:     j.name,
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
	var err error
	if j.stream, err = l.openStream(ctx, sc); err != nil {
		return nil, fmt.Errorf("event log: open journal %s: %w%s", cfg.Name, err, l.server.because())
	}
	j.epoch = uint64(j.stream.CachedInfo().Created.UnixMilli()) + l.server.generation()
	return j, nil
}

// Epoch names this life of the journal.
func (j *Journal) Epoch() uint64 { return j.epoch }

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
// is given an id, by which the journal takes it once.
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
	acks := make([]jetstream.PubAckFuture, 0, len(records))
	for i := range records {
		if err := j.log.space.take(len(records[i].Data) + messageOverhead); err != nil {
			return 0, err
		}
		msg := &nats.Msg{
			Subject: j.subject(records[i].Name), Data: records[i].Data,
			Header: nats.Header{nats.MsgIdHdr: {records[i].id}},
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
}

// readBytes bounds what one Read returns, in bytes, but for its last record.
const readBytes = 4 << 20

// Read returns the records that a query asks for, the oldest first; fewer than the
// limit also when they are large.
func (j *Journal) Read(ctx context.Context, q JournalQuery) (records []Record, err error) {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: q.After + 1}
	if q.After == 0 && !q.From.IsZero() {
		cfg = jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &q.From}
	}
	if q.Name != "" {
		cfg.FilterSubject = j.subject(q.Name)
	}
	bytes := 0
	err = j.log.fetch(ctx, j.name, cfg, q.Limit, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		r := j.record(m, meta)
		switch {
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
	return records, err
}

func (j *Journal) record(m jetstream.Msg, meta *jetstream.MsgMetadata) Record {
	return Record{
		Seq: meta.Sequence.Stream, Name: strings.TrimPrefix(m.Subject(), j.prefix),
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
	_, last, err := j.Bounds(ctx)
	if err != nil {
		return err
	}
	c, err := j.log.js.OrderedConsumer(ctx, j.name, jetstream.OrderedConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	if c.CachedInfo().NumPending == 0 {
		synced()
		last = 0
	}
	messages, err := c.Messages(jetstream.PullHeartbeat(clusterHeartbeat))
	if err != nil {
		return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	for {
		m, err := messages.Next()
		switch {
		case ctx.Err() != nil:
			return ended(ctx)
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // it looks for another server by itself
		case err != nil:
			return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
		}
		switch r := j.record(m, meta); {
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
