// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
)

// The journals, and how much they keep. The names are stored: do not change them.
const (
	updatesJournal  = "outcomes"
	messagesJournal = "messages"
	failuresJournal = "failures"

	failuresRetention = 24 * time.Hour

	// MinJournalBytes is the least that a journal keeps, in bytes.
	MinJournalBytes  = 4 << 20
	maxUpdatesBytes  = 256 << 20
	maxMessagesBytes = 1 << 30
	maxFailuresBytes = 256 << 20
)

// journalBytes returns the size limit of a journal: a part of what events may take,
// within bounds. A part of 0 is without limit. NATS reserves the size when the journal is
// made.
func journalBytes(part, most int64) int64 {
	if part <= 0 {
		return most
	}
	return min(max(part, MinJournalBytes), most)
}

// openJournals opens the journals.
func (r *Recorder) openJournals(ctx context.Context) (err error) {
	updates := eventlog.JournalConfig{
		Name:      updatesJournal,
		Retention: r.Retention,
		Bytes:     journalBytes(r.RetentionBytes/4, maxUpdatesBytes),
	}
	messages := eventlog.JournalConfig{
		Name:      messagesJournal,
		Retention: max(r.Retention, failuresRetention),
		Bytes:     journalBytes(r.RetentionBytes, maxMessagesBytes),
		Valid:     validRecord,
	}
	failures := eventlog.JournalConfig{
		Name:      failuresJournal,
		Retention: failuresRetention,
		Bytes:     journalBytes(r.RetentionBytes/4, maxFailuresBytes),
		Valid:     validRecord,
	}
	r.compactAfter = int(min(maxCompactAfter, updates.Bytes/8))
	r.shares = newShares(messages.Bytes, messages.Retention)
	if r.updates, err = r.Log.Journal(ctx, updates); err != nil {
		return err
	}
	if r.messages, err = r.Log.Journal(ctx, messages); err != nil {
		return err
	}
	r.failures, err = r.Log.Journal(ctx, failures)
	return err
}

// validRecord reports whether a record of the journals messages and failures is one that
// a node wrote: a JSON object about the gateway in the record's name, without an id.
// Anybody can write into a shared NATS, and the records go to the platform as they are.
func validRecord(r eventlog.Record) bool {
	hasType := false
	ok := event.CheckMembers(r.Data, func(name, value []byte) bool {
		switch string(name) {
		case "id":
			return false // the reader adds it
		case "type":
			hasType = value[0] == '"'
			return hasType
		case "gatewayId":
			return len(value) > 2 && string(value[1:len(value)-1]) == r.Name && event.ValidName(r.Name)
		case "timestamp", "time", "eventId", "organizationId", "correlationId", "reason", "status", "error":
			return value[0] == '"'
		}
		return true
	})
	return ok && hasType
}

// write appends records to a journal and retries until it succeeds: nothing is dropped
// because the log is unreachable for a while. It returns the sequence of the last
// record, or 0 if there are no records or the node stops.
func (r *Recorder) write(ctx context.Context, j *eventlog.Journal, records []eventlog.Record) (last uint64) {
	for len(records) > 0 && ctx.Err() == nil {
		last, err := j.Append(ctx, records...)
		if err == nil {
			return last
		}
		if ctx.Err() == nil {
			r.Logger.Error("cannot write to the journals of delivery status; retrying", "records", len(records), "error", err)
		}
		select {
		case <-r.quit: // the node stops: do not wait for a log that is unreachable now
			return 0
		default:
			sleep(ctx, retryAfter)
		}
	}
	return 0
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a record cannot be marshalled: " + err.Error())
	}
	return b
}
