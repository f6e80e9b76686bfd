// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
)

// ErrCursor is the error about a cursor that no list has returned.
var ErrCursor = errors.New("not a cursor of this list")

// A FailureQuery selects failed deliveries.
type FailureQuery struct {
	GatewayID string    // empty: of all gateways
	From      time.Time // inclusive; zero: from the oldest
	To        time.Time // exclusive; zero: to the newest
	After     string    // cursor to resume after; empty: the first page
	Limit     int
}

// Failures returns failed deliveries as JSON objects, oldest first. next is the cursor of
// the next page, "" if there is none.
func (r *Recorder) Failures(ctx context.Context, q FailureQuery) (list []json.RawMessage, next string, err error) {
	after, lineage, err := position(ctx, r.failures, q.After)
	if err != nil {
		return nil, "", err
	}
	records, err := r.failures.Read(ctx, eventlog.JournalQuery{
		After: after, In: lineage, From: q.From, To: q.To, Name: q.GatewayID, Limit: q.Limit + 1,
	})
	if err != nil {
		return nil, "", err
	}
	if len(records) > q.Limit {
		records = records[:q.Limit]
		next = records[q.Limit-1].Cursor.String()
	}
	for _, rec := range records {
		list = append(list, rec.Data)
	}
	return list, next, nil
}

// A MessageQuery selects messages of gateways.
type MessageQuery struct {
	After string // cursor to resume after; empty: from the oldest
	Limit int
	Wait  time.Duration // how long to wait if there is no message; 0: do not
}

// A gap is in a list of messages where messages have left the journal before they were
// read.
type gap struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Missing   uint64 `json:"missing"`
}

// Messages returns messages of gateways as JSON objects, oldest first, and the cursor to
// resume after, also if there are none. A message's id is its position in the journal.
func (r *Recorder) Messages(ctx context.Context, q MessageQuery) (list []json.RawMessage, cursor string, err error) {
	after, lineage, err := position(ctx, r.messages, q.After)
	if err != nil {
		return nil, "", err
	}
	if q.After == "" { // what left the journal before the first read is no gap
		first, _, err := r.messages.Bounds(ctx)
		if err != nil {
			return nil, "", err
		}
		after = first - 1
	}
	records, next, err := r.readMessages(ctx, eventlog.JournalQuery{After: after, In: lineage, Limit: q.Limit}, q.Wait)
	if err != nil {
		return nil, "", err
	}
	for _, rec := range records {
		data := rec.Data
		if rec.Missing > 0 {
			data = marshal(&gap{Type: "gap", Timestamp: rec.At.UTC().Format(event.TimeFormat), Missing: rec.Missing})
		}
		list = append(list, event.AppendWithID(nil, data, rec.Cursor))
	}
	return list, next.String(), nil
}

// MessagesLineage returns the lineage of the journal that Messages reads. Cursors of
// messages are positions in it.
func (r *Recorder) MessagesLineage(ctx context.Context) (*eventlog.Lineage, error) {
	return r.messages.Lineage(ctx)
}

// readMessages reads messages. If there are none, it waits for one.
func (r *Recorder) readMessages(ctx context.Context, q eventlog.JournalQuery, wait time.Duration) ([]eventlog.Record, event.Cursor, error) {
	records, next, err := r.messages.ReadOn(ctx, q)
	if err != nil || len(records) > 0 || wait <= 0 {
		return records, next, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	q.After = max(q.After, next.Seq)
	switch err := r.messages.Await(waiting, q.After); {
	case err == nil:
		return r.messages.ReadOn(ctx, q)
	case ctx.Err() == nil && waiting.Err() != nil: // none arrived
		return nil, next, nil
	default:
		return nil, next, err
	}
}

// position returns the sequence that a cursor stands for in a journal, and the journal's
// lineage. An empty cursor is the position before the first record.
func position(ctx context.Context, j *eventlog.Journal, cursor string) (uint64, *eventlog.Lineage, error) {
	lineage, err := j.Lineage(ctx)
	if err != nil || cursor == "" {
		return 0, lineage, err
	}
	c, err := event.ParseCursor(cursor)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %q", ErrCursor, cursor)
	}
	seq, ok, err := j.Resolve(ctx, c)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %q", ErrCursor, cursor)
	}
	return seq, lineage, err
}
