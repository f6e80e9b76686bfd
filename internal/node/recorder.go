// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// Journals beside the events, and how long they keep what they hold.
const (
	outcomesJournal = "outcomes"
	messagesJournal = "messages"
	failuresJournal = "failures"

	failuresFor   = 24 * time.Hour
	failuresBytes = 256 << 20 // at most, see journalBytes
	messagesBytes = 1 << 30
	outcomesBytes = 256 << 20
)

const (
	// maxWaiting bounds what waits to be recorded, in bytes of memory: messages of
	// gateways, failed deliveries, and reports of how far connections have come. More is
	// dropped and counted: it takes a log that has been out of reach for long. A broadcast
	// to a million connections is reported within it.
	maxWaiting = 128 << 20
	// recordBytes is about what a record takes beside its text, and placeBytes what a
	// report of one connection does.
	recordBytes = 256
	placeBytes  = 64
	// recordEvery is how often it is written how far gateways have come.
	recordEvery = time.Second
	// maxCatchUp bounds how many records are read before a resume is taken.
	maxCatchUp = 1000
	// evictedEvery is how often it is logged that messages are evicted.
	evictedEvery = time.Minute
	// recordRetry is the pause after the log could not take a record.
	recordRetry = time.Second
	// maxAnswers bounds what is known of gateways' answers, of all events together.
	maxAnswers = 4 << 20
	// compactAfter is how many bytes of outcomes this node writes before it writes
	// down all it knows, and lets go of what it wrote before.
	compactAfter = 32 << 20
	// factsSize is about how large a record of outcomes is, in bytes.
	factsSize = 64 << 10
)

// A recorder keeps what becomes of events: what gateways have received and
// answered, what they say to the platform, and which deliveries failed. It takes
// notes from the loops without ever keeping them waiting, and writes them to the
// log on a goroutine of its own: messages and failures at once, progress a
// second late at most.
type recorder struct {
	// Constant.
	nodeID   string
	log      *eventlog.Log
	outcomes *eventlog.Journal
	messages *eventlog.Journal
	failures *eventlog.Journal
	book     *tracker.Tracker
	deployed *deployments
	// compactAfter is how many bytes of outcomes are written between compactions.
	compactAfter int
	counts       *metrics.Node
	logger       *slog.Logger

	notes   poller.Inbox[note]
	waiting atomic.Int64  // bytes of the notes, and of facts
	wake    chan struct{} // has a token when there may be notes
	cancel  context.CancelFunc
	quit    chan struct{} // closed when there will be no more notes
	ended   chan struct{}
	synced  chan struct{} // closed when what was recorded before is known
	emptied atomic.Bool   // the journal of outcomes has lost what it had, and is to be given it
	// followed is the place in the journal of outcomes up to which the book has it.
	followed atomic.Uint64

	// Of the goroutine that writes.
	facts   tracker.Updates // not written yet
	held    int64           // bytes of facts, as they count in waiting
	epoch   uint64          // of the log, which facts are meant in
	written int             // bytes of outcomes since the last compaction
	shares  *shares         // of the journal of messages
	evicted time.Time       // when it was logged last that messages were
	late    []lateAck       // deployment.acks whose events this node may not have seen yet

	gaps   heldGaps       // of gateways that have resumed here
	recent answeredEvents // that were answered last: often many gateways answer one

	// wasFor reports whether an event was for a gateway. It is set before the first
	// report and does not change.
	wasFor func(gatewayID string, t event.Target, at event.Cursor, published time.Time) bool
	// begun is called when a connection of a gateway has begun on another node: what this
	// node's have received so far is to be written down, for should it be killed, what is
	// known of them ends there. It is nil until the shards are there, and must not block.
	begun atomic.Pointer[func(gatewayID string)]
}

// A note is something to record. One of its fields is set.
type note struct {
	report shard.Report
	failed []failedDelivery // deliveries that the internal route found to have failed
	notice *shard.Notice    // of kind Failed: deliveries that a loop gave up
}

// size returns about how many bytes a note takes, and how many records it is. Messages
// of a notice count in full: it may be the last to keep them.
func (n *note) size() (bytes int64, records int) {
	places := len(n.report.Starts) + len(n.report.Progress)
	records = places + len(n.report.Inbound) + len(n.failed)
	size := places*placeBytes + (1+records-places)*recordBytes
	for i := range n.report.Inbound {
		m := &n.report.Inbound[i]
		size += len(m.Payload) + len(m.Status) + len(m.Error) + len(m.DeploymentID) + len(m.PerformedAt)
	}
	if n.notice != nil {
		records += len(n.notice.Messages)
		for _, m := range n.notice.Messages {
			size += recordBytes + len(m.Wire)
		}
	}
	return int64(size), records
}

// A failedDelivery is one as it stands in the journal.
type failedDelivery struct {
	Time          string `json:"time"`
	EventID       string `json:"eventId"`
	Type          string `json:"type"`
	GatewayID     string `json:"gatewayId"`
	CorrelationID string `json:"correlationId"`
	Reason        string `json:"reason"`
	Status        string `json:"status"`
}

// minJournalBytes is the least that a journal keeps.
const minJournalBytes = 4 << 20

// journalBytes returns how large a journal grows: a share of what the events may take,
// within bounds. Without a limit for these it is the most. NATS sets all of it aside when
// the journal is made.
func journalBytes(share, most int64) int64 {
	if share <= 0 {
		return most
	}
	return min(max(share, minJournalBytes), most)
}

// openRecorder opens the journals and reads what was recorded before.
func openRecorder(ctx context.Context, n *Node) (*recorder, error) {
	r := &recorder{
		nodeID: n.cfg.NodeID, log: n.log, counts: n.counts, logger: n.cfg.Logger,
		compactAfter: int(min(compactAfter, journalBytes(n.cfg.RetentionBytes/4, outcomesBytes)/8)),
		book:         tracker.New(maxAnswers), deployed: newDeployments(),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}), synced: make(chan struct{}),
	}
	for _, j := range []struct {
		journal **eventlog.Journal
		config  eventlog.JournalConfig
	}{
		{&r.outcomes, eventlog.JournalConfig{Name: outcomesJournal, Retention: n.cfg.Retention, Bytes: journalBytes(n.cfg.RetentionBytes/4, outcomesBytes)}},
		{&r.messages, eventlog.JournalConfig{Name: messagesJournal, Retention: max(n.cfg.Retention, failuresFor), Bytes: journalBytes(n.cfg.RetentionBytes, messagesBytes), Valid: isReport}},
		{&r.failures, eventlog.JournalConfig{Name: failuresJournal, Retention: failuresFor, Bytes: journalBytes(n.cfg.RetentionBytes/4, failuresBytes), Valid: isReport}},
	} {
		var err error
		if *j.journal, err = n.log.Journal(ctx, j.config); err != nil {
			return nil, err
		}
		if j.journal == &r.messages {
			r.shares = newShares(j.config.Bytes, j.config.Retention)
		}
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	followed := make(chan struct{})
	go func() { defer close(followed); r.follow(life) }()
	go func() { defer close(r.ended); r.run(life); cancel(); <-followed }()
	select {
	case <-r.synced:
		return r, nil
	case <-ctx.Done():
		r.stop()
		return nil, ctx.Err()
	}
}

// follow carries what is recorded, by this node and others, into the book.
func (r *recorder) follow(ctx context.Context) {
	var last uint64
	known := false
	synced := func() {
		if !known {
			known = true
			close(r.synced)
		}
	}
	var seen *eventlog.Lineage
	for ctx.Err() == nil {
		if lineage, err := r.outcomes.Lineage(ctx); err == nil {
			if seen != nil && seen.Common(lineage) < last {
				last = seen.Common(lineage)
				r.emptied.Store(true)
			}
			seen = lineage
		}
		r.followed.Store(last)
		err := r.outcomes.Follow(ctx, last, synced, func(rec eventlog.Record) {
			r.apply(ctx, rec)
			last = rec.Seq
			r.followed.Store(last)
		})
		if ctx.Err() == nil {
			r.logger.Error("records of what became of events cannot be read; trying again", "error", err)
			pause(ctx, recordRetry)
		}
	}
}

// apply carries a record of the journal of outcomes into the book. It may be called
// twice with the same.
func (r *recorder) apply(ctx context.Context, rec eventlog.Record) {
	facts, err := tracker.Parse(rec.Data)
	if err != nil {
		r.log.Skipped(eventlog.SourceJournal, fmt.Sprintf("%s at %d", outcomesJournal, rec.Seq), err)
		return
	}
	r.book.Apply(facts.UpTo(r.log.Valid(ctx, rec.Epoch)))
	for _, p := range facts.Progress {
		if p.From == p.To {
			r.gaps.start(p)
		}
	}
	begun := r.begun.Load()
	if begun == nil || rec.Name == r.nodeID {
		return
	}
	for _, p := range facts.Progress {
		if p.From == p.To {
			(*begun)(p.GatewayID)
		}
	}
}

// catchUp carries into the book what other nodes have written a moment ago: a gateway may
// have been connected there until just now. When the log cannot be read in time, the
// book has what it has.
func (r *recorder) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recordRetry)
	defer cancel()
	after := r.followed.Load()
	if _, last, err := r.outcomes.Bounds(ctx); err != nil || last <= after {
		return
	}
	records, err := r.outcomes.Read(ctx, eventlog.JournalQuery{After: after, Limit: maxCatchUp})
	if err != nil {
		return
	}
	for _, rec := range records {
		r.apply(ctx, rec)
	}
}

// report takes what a loop reports. It never blocks.
func (r *recorder) report(rep shard.Report) { r.push(note{report: rep}) }

// fail takes deliveries that failed. It never blocks.
func (r *recorder) fail(failed []failedDelivery) { r.push(note{failed: failed}) }

// lost takes deliveries that a loop gave up. It never blocks.
func (r *recorder) lost(n shard.Notice) { r.push(note{notice: &n}) }

func (r *recorder) push(n note) {
	bytes, records := n.size()
	if r.waiting.Add(bytes) > maxWaiting {
		r.waiting.Add(-bytes)
		r.counts.RecordsDropped.Add(float64(records))
		return
	}
	if r.notes.Push(n) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// run writes notes until ctx ends, and those that are left when quit is closed.
func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	trim := time.NewTicker(time.Minute)
	defer trim.Stop()
	for {
		select {
		case <-r.wake:
			r.takeNotes(ctx)
		case now := <-tick.C:
			r.takeLate(ctx, now)
			r.takeHeld(ctx, now, false)
			r.writeFacts(ctx)
			if r.emptied.Swap(false) { // the others know as much: it is the same whoever writes it
				r.compact(ctx)
			}
		case now := <-trim.C:
			r.book.Trim(r.log.First())
			if first, _, err := r.messages.Bounds(ctx); err == nil { // else the next time will do
				r.shares.trim(first, now)
			}
		case <-r.quit:
			r.takeNotes(ctx)
			r.takeHeld(ctx, time.Now(), true)
			r.writeFacts(ctx)
			return
		case <-ctx.Done():
			return
		}
	}
}

// takeNotes writes what cannot wait, and puts the rest into the book at once and
// among the facts to be written.
func (r *recorder) takeNotes(ctx context.Context) {
	notes := r.notes.Take(nil)
	var messages, failures []eventlog.Record
	took, began := int64(0), false
	if r.log.Shared() && slices.ContainsFunc(notes, resumed) {
		r.catchUp(ctx)
	}
	for i := range notes {
		n := &notes[i]
		bytes, _ := n.size()
		took += bytes
		if n.report.Epoch != 0 && n.report.Epoch != r.epoch {
			r.writeFacts(ctx) // of the log's history until then
			r.epoch = n.report.Epoch
		}
		facts := tracker.Updates{Progress: n.report.Progress}
		valid := r.log.Valid(ctx, r.epoch)
		for _, c := range n.report.Starts {
			if c.After <= valid && r.takeBegan(c) {
				began = true
			}
		}
		for j := range n.report.Inbound {
			r.takeInbound(ctx, &n.report.Inbound[j], &facts, &messages, &failures)
		}
		facts = facts.UpTo(valid)
		r.book.Apply(facts)
		r.facts.Progress = append(r.facts.Progress, facts.Progress...)
		r.facts.Acks = append(r.facts.Acks, facts.Acks...)
		for j := range n.failed {
			failures = append(failures, failureRecord(&n.failed[j]))
		}
		if n.notice != nil {
			for _, f := range failedOf(n.notice) {
				failures = append(failures, failureRecord(&f))
			}
		}
	}
	if began || slices.ContainsFunc(notes, func(n note) bool { return n.report.Immediate }) {
		// A node that is killed within a second must have written it.
		r.writeFacts(ctx)
	}
	r.writeMessages(ctx, messages)
	r.write(ctx, r.failures, failures)
	held := placeBytes * int64(len(r.facts.Progress)+len(r.facts.Acks))
	r.waiting.Add(held - r.held - took)
	r.held = held
}

// writeMessages writes what gateways said, and keeps each gateway to its share of the
// journal.
func (r *recorder) writeMessages(ctx context.Context, messages []eventlog.Record) {
	for len(messages) > 0 {
		n := 0
		for bytes := 0; n < len(messages) && bytes < r.shares.batch(); n++ {
			bytes += recordSize(&messages[n])
		}
		last := r.write(ctx, r.messages, messages[:n])
		if last == 0 {
			return
		}
		now := time.Now()
		for i := range messages[:n] {
			m := &messages[i]
			if upTo, gone := r.shares.add(m.Name, recordSize(m), last, now); upTo > 0 {
				r.evict(ctx, m.Name, upTo, gone)
			}
		}
		messages = messages[n:]
	}
}

// recordSize returns about how many bytes a record takes in a journal.
func recordSize(r *eventlog.Record) int { return len(r.Data) + 2*len(r.Name) + 128 }

// evict removes a gateway's oldest messages from the journal, because it fills more than
// its share. Who reads on there finds a gap.
func (r *recorder) evict(ctx context.Context, gateway string, upTo uint64, messages int) {
	if err := r.messages.Purge(ctx, gateway, upTo+1); err != nil {
		if ctx.Err() == nil {
			r.logger.Warn("the oldest messages of a gateway that fills more than its share cannot be removed", "gateway", gateway, "error", err)
		}
		return
	}
	r.counts.MessagesEvicted.Add(float64(messages))
	if now := time.Now(); now.Sub(r.evicted) > evictedEvery {
		r.evicted = now
		r.logger.Warn("a gateway fills more than its share of the journal of messages; its oldest messages are removed", "gateway", gateway, "messages", messages)
	}
}

// takeHeld records the gaps that have been held for long enough, or all.
func (r *recorder) takeHeld(ctx context.Context, now time.Time, all bool) {
	valid := r.log.Valid(ctx, r.epoch)
	for _, gap := range r.gaps.due(now, all) {
		if gap.To <= valid {
			r.takeGap(gap)
		}
	}
}

// resumed reports whether a connection of a note names a position.
func resumed(n note) bool {
	return slices.ContainsFunc(n.report.Starts, func(c shard.ConnectionStart) bool { return c.Resumed })
}

// takeBegan records where a connection begins, and what its gateway must have received
// by then. It reports whether it is news.
func (r *recorder) takeBegan(c shard.ConnectionStart) (news bool) {
	start := tracker.Progress{GatewayID: c.GatewayID, From: c.After, To: c.After}
	if !c.Resumed {
		r.gaps.start(start)
		return r.takeStart(start)
	}
	gap, ok := r.book.Gap(c.GatewayID, c.After)
	if !ok {
		gap = start
	}
	if r.log.Shared() && r.gaps.hold(gap, time.Now()) {
		return false
	}
	return r.takeGap(gap)
}

// takeGap records what a gateway has that resumed, and reports whether it is news.
func (r *recorder) takeGap(gap tracker.Progress) bool {
	if gap.From < gap.To {
		r.add(gap)
	}
	return r.takeStart(tracker.Progress{GatewayID: gap.GatewayID, From: gap.To, To: gap.To}) || gap.From < gap.To
}

// takeStart records where a connection begins, and reports whether it is news.
func (r *recorder) takeStart(p tracker.Progress) bool {
	if r.book.HasStart(p.GatewayID, p.To) {
		return false
	}
	r.add(p)
	return true
}

// add puts what is to be written into the book.
func (r *recorder) add(p tracker.Progress) {
	r.book.Apply(tracker.Updates{Progress: []tracker.Progress{p}})
	r.facts.Progress = append(r.facts.Progress, p)
}

func failureRecord(f *failedDelivery) eventlog.Record {
	return eventlog.Record{Name: f.GatewayID, Data: marshal(f)}
}

// failedOf returns the failed deliveries of a notice.
func failedOf(n *shard.Notice) []failedDelivery {
	failed := make([]failedDelivery, 0, len(n.Messages))
	for _, m := range n.Messages {
		head := event.ReadHead(m.Body)
		failed = append(failed, newFailed(n.At, m.Cursor, head.Type, head.CorrelationID, n.GatewayID, n.Failure))
	}
	return failed
}

func newFailed(at time.Time, id event.Cursor, eventType, correlationID, gatewayID string, why event.FailureReason) failedDelivery {
	return failedDelivery{
		Time: at.UTC().Format(event.TimeFormat), EventID: id.String(), Type: eventType,
		GatewayID: gatewayID, CorrelationID: correlationID, Reason: why.String(), Status: "failed",
	}
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a record does not marshal: " + err.Error())
	}
	return b
}

// write puts records into a journal, and tries until it could: nothing of it is
// dropped because the log is out of reach for a while. It returns the place of the last
// one, or 0 when there is none or the node ends.
func (r *recorder) write(ctx context.Context, j *eventlog.Journal, records []eventlog.Record) (last uint64) {
	for len(records) > 0 && ctx.Err() == nil {
		if last, err := j.Append(ctx, records...); err == nil {
			return last
		} else if ctx.Err() == nil {
			r.logger.Error("the log does not take what gateways said; trying again", "records", len(records), "error", err)
		}
		select {
		case <-r.quit: // the node ends; a log that cannot be written then will not come back
			return 0
		default:
			pause(ctx, recordRetry)
		}
	}
	return 0
}

// writeFacts writes down how far gateways have come.
func (r *recorder) writeFacts(ctx context.Context) {
	if len(r.facts.Progress) == 0 && len(r.facts.Acks) == 0 {
		return
	}
	var records []eventlog.Record
	for part := range r.facts.Parts(factsSize) {
		data := part.AppendTo(nil)
		r.written += len(data)
		records = append(records, eventlog.Record{Name: r.nodeID, Data: data, Epoch: r.epoch})
	}
	r.facts = tracker.Updates{}
	r.write(ctx, r.outcomes, records)
	r.waiting.Add(-r.held)
	r.held = 0
	if r.written > r.compactAfter {
		r.compact(ctx)
	}
}

// compact writes down all that is known, and lets go of what this node wrote
// before.
func (r *recorder) compact(ctx context.Context) {
	r.written = 0
	epoch := r.log.Epoch() // before the book is read: what it has then may only be newer
	_, before, err := r.outcomes.Bounds(ctx)
	if err != nil {
		return // the next time will do
	}
	for facts := range r.book.Snapshot {
		r.write(ctx, r.outcomes, []eventlog.Record{{Name: r.nodeID, Data: facts.AppendTo(nil), Epoch: epoch}})
	}
	if err := r.outcomes.Purge(ctx, r.nodeID, before+1); err != nil && ctx.Err() == nil {
		r.logger.Warn("old records of what became of events stay for now", "error", err)
	}
}

// turn forgets what was known of sequences that are other events' now.
func (r *recorder) turn(common uint64) {
	r.book.Rewind(common)
	r.deployed.rewind(common)
}

// stop writes what is left, and ends the recorder. Nothing may be pushed any more.
func (r *recorder) stop() {
	close(r.quit)
	hung := time.AfterFunc(recordEvery, r.cancel) // a log that hangs holds nothing up
	defer hung.Stop()
	<-r.ended
}
