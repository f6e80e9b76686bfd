// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// A JournalConfig says what a journal keeps.
type JournalConfig struct {
	Name      string        // letters, digits and _
	Retention time.Duration // older records are removed; zero: no limit
	Bytes     int64         // the oldest records are removed beyond this size; zero: no limit
	// Valid reports whether gatecast wrote a record. Others are skipped and counted. Nil:
	// every record is valid.
	Valid func(Record) bool
}

// A Record is an entry of a journal.
type Record struct {
	Seq    uint64
	Cursor event.Cursor // its position; only set by Read and ReadOn
	Name   string       // of its owner, with _ for what a subject cannot contain
	At     time.Time    // when the journal stored it
	Data   []byte
	// Epoch is an epoch of the log of events: sequences of that log in Data belong to its
	// history. Zero is the epoch that the log had before there were markers.
	Epoch uint64
	// Missing is set in a gap, which [Journal.ReadOn] returns: the number of records up to
	// Seq that have left the journal, at about At.
	Missing uint64

	id string // for deduplication, see Journal.Append
}

// headerEpoch is the header with a record's epoch, in base 36 as in ids.
const headerEpoch = "Gatecast-Epoch"

// A Journal keeps small records beside the events, in order: in the stream gatecast_NAME, with
// the subjects gatecast.NAME.RECORDNAME. It is safe for concurrent use. Its errors match
// [ErrUnavailable], unless they are the context's.
type Journal struct {
	*history
	prefix string // of subjects
	valid  func(Record) bool

	run    string        // names this process in the ids of records; constant
	lastID atomic.Uint64 // number in the newest id

	skipped atomic.Uint64 // the newest record that was counted as skipped
}

// Journal opens a journal, or makes it.
func (l *Log) Journal(ctx context.Context, cfg JournalConfig) (*Journal, error) {
	j := &Journal{prefix: storage.JournalSubjects(cfg.Name), valid: cfg.Valid, run: fmt.Sprintf("%016x", rand.Uint64())}
	if j.valid == nil {
		j.valid = func(Record) bool { return true }
	}
	sc := storage.StreamConfig{Name: storage.JournalStream(cfg.Name), Retention: cfg.Retention, Bytes: cfg.Bytes}
	s, made, err := l.store.OpenStream(ctx, sc)
	if err != nil {
		return nil, fmt.Errorf("event log: open journal %s: %w%s", cfg.Name, err, l.store.LastError())
	}
	// No record has such a name.
	if j.history, err = l.openHistory(ctx, sc, j.prefix+"="+kindEpoch, s, made); err != nil {
		return nil, err
	}
	return j, nil
}

// Lineage asks the journal for its lineage.
func (j *Journal) Lineage(ctx context.Context) (*Lineage, error) {
	if err := j.refresh(ctx); err != nil {
		return nil, err
	}
	return j.lineage(), nil
}

// Resolve returns the sequence of a position in the journal, and reports whether the journal's
// history contains the position.
func (j *Journal) Resolve(ctx context.Context, c event.Cursor) (seq uint64, ok bool, err error) {
	l, err := j.Lineage(ctx)
	if err != nil {
		return 0, false, err
	}
	return c.Seq, l.Contains(c) && c.Seq <= j.last.load(), nil
}

// subject returns the subject of records with a name. A rune that is not allowed in a name
// could have a meaning in a subject.
func (j *Journal) subject(name string) string {
	return j.prefix + strings.Map(func(r rune) rune {
		if event.ValidName(string(r)) {
			return r
		}
		return '_'
	}, name)
}

// identify gives each record an id, unless it has one.
func (j *Journal) identify(records []Record) {
	for i := range records {
		if records[i].id == "" {
			records[i].id = j.run + "-" + strconv.FormatUint(j.lastID.Add(1), 36)
		}
	}
}

// appendBatch is how many records are in flight at once.
const appendBatch = 1024

// Append adds records, of which it uses Name, Data and Epoch. It returns the sequence of the
// last one when the journal has all of them. After an error, some can be in the journal. A
// second call with the same slice within two minutes adds the missing ones only: Append gives
// each record in the slice an id, and the journal stores an id once. Calls with the same slice
// must not overlap.
func (j *Journal) Append(ctx context.Context, records ...Record) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	j.identify(records)
	for len(records) > 0 {
		n := min(len(records), appendBatch)
		if last, err = j.append(ctx, records[:n]); err != nil {
			return 0, unavailable(err)
		}
		records = records[n:]
	}
	return last, nil
}

// append adds at most appendBatch records. The branch is read before they are sent: if the
// history goes back in the meantime, their sequences say nothing of the new branch.
func (j *Journal) append(ctx context.Context, records []Record) (last uint64, err error) {
	branch := j.lineage().branch
	messages := make([]storage.Outgoing, len(records))
	for i, r := range records {
		messages[i] = storage.Outgoing{Subject: j.subject(r.Name), ID: r.id, Data: r.Data}
		if r.Epoch != 0 {
			messages[i].Header = storage.Header{headerEpoch: {formatEpoch(r.Epoch)}}
		}
	}
	err = j.stream.PutAll(ctx, messages, func(seq uint64) {
		last = seq
		j.last.advance(branch, seq)
	})
	return last, err
}

// Bounds asks the journal for the sequences of its oldest and its newest record. First is
// last+1 when there is none.
func (j *Journal) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := j.stream.Info(ctx)
	if err != nil {
		return 0, 0, unavailable(err)
	}
	return info.First, info.Last, nil
}

// Purge removes the records with a name before a sequence.
func (j *Journal) Purge(ctx context.Context, name string, before uint64) error {
	if err := j.stream.PurgeSubject(ctx, j.subject(name), before); err != nil {
		return fmt.Errorf("%w: purge: %w", ErrUnavailable, err)
	}
	return nil
}
