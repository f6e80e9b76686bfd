// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// A JournalQuery selects records.
type JournalQuery struct {
	After    uint64    // sequence
	From, To time.Time // when they were stored; zero: no limit
	Name     string    // empty: all names
	Limit    int       // of records
	// In is the lineage that After belongs to; nil: the present one. If the journal has
	// another history, reading is an error.
	In *Lineage
}

// readBytes bounds the data that one Read returns, except for its last record.
const readBytes = 4 << 20

// Read returns the records that a query selects, the oldest first. It returns fewer than the
// limit if they are large.
func (j *Journal) Read(ctx context.Context, q JournalQuery) (records []Record, err error) {
	records, _, err = j.readAfter(ctx, q, false)
	return records, err
}

// ReadOn is Read for a client that reads from position to position and must notice missing
// records. It reads the records of all names. Where records have left the journal it returns a
// gap, which counts as one record. Next is the position to read on from, also if there are no
// records.
func (j *Journal) ReadOn(ctx context.Context, q JournalQuery) (records []Record, next event.Cursor, err error) {
	first, _, err := j.Bounds(ctx)
	if err != nil {
		return nil, event.Cursor{}, err
	}
	records, upTo, err := j.readAfter(ctx, q, true)
	if err != nil {
		return nil, event.Cursor{}, err
	}
	if upTo+1 < first && len(records) < q.Limit { // there is no record after the gap yet
		gap := Record{Seq: first - 1, Missing: first - 1 - upTo, At: time.Now()}
		gap.Cursor = j.lineage().CursorOf(gap.Seq)
		records, upTo = append(records, gap), gap.Seq
	}
	return records, j.lineage().CursorOf(upTo), nil
}

// readAfter returns what a query selects, and the sequence up to which it has read.
func (j *Journal) readAfter(ctx context.Context, q JournalQuery, gaps bool) (records []Record, upTo uint64, err error) {
	in := q.In
	if in == nil {
		in = j.lineage()
	}
	r := storage.Range{After: q.After}
	if q.After == 0 {
		r.From = q.From
	}
	if q.Name != "" {
		r.Subjects = []string{j.subject(q.Name)}
	}
	page := journalPage{q: q, gaps: gaps, upTo: q.After}
	err = j.stream.Pages(ctx, r, q.Limit, func(m storage.Message) bool { return page.add(j, m) })
	if err != nil {
		return nil, 0, fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	records, upTo = page.records, page.upTo
	if err := j.awaitIDs(ctx, upTo); err != nil {
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

// A journalPage collects what a query selects.
type journalPage struct {
	q       JournalQuery
	gaps    bool // with gaps
	records []Record
	bytes   int    // of their data
	upTo    uint64 // sequence of the last message
}

// add adds a message, and reports whether the page has room for more.
func (p *journalPage) add(j *Journal, m storage.Message) (more bool) {
	r := j.record(m)
	if p.gaps && r.Seq > p.upTo+1 {
		p.records = append(p.records, Record{Seq: r.Seq - 1, Missing: r.Seq - 1 - p.upTo, At: r.At})
		if p.upTo = r.Seq - 1; len(p.records) == p.q.Limit {
			return false
		}
	}
	p.upTo = r.Seq
	switch {
	case m.Subject == j.marker:
		return true
	case !j.valid(r):
		j.skip(r)
		return true
	case !p.q.To.IsZero() && r.At.After(p.q.To):
		return false
	case r.At.Before(p.q.From):
		return true
	}
	p.records = append(p.records, r)
	p.bytes += len(r.Data)
	return len(p.records) < p.q.Limit && p.bytes < readBytes
}

// record returns the record in a message. The epoch is optional: records of versions before
// epochs have none.
func (j *Journal) record(m storage.Message) Record {
	epoch, _ := strconv.ParseUint(m.Header.Get(headerEpoch), 36, 64)
	return Record{Epoch: epoch, Seq: m.Seq, Name: strings.TrimPrefix(m.Subject, j.prefix), At: m.Time, Data: m.Data}
}

// skip counts a record that gatecast did not write, once.
func (j *Journal) skip(r Record) {
	for {
		newest := j.skipped.Load()
		if r.Seq <= newest {
			return
		}
		if j.skipped.CompareAndSwap(newest, r.Seq) {
			break
		}
	}
	j.log.skipped.add(SourceJournal, j.name, fmt.Sprintf("%s%s at %d", j.prefix, r.Name, r.Seq), errNotRecord)
}

var errNotRecord = errors.New("it is not a record of this journal")
