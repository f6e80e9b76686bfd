// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

const (
	// maxPending bounds the reports that wait to be recorded, in bytes of memory. More is
	// dropped and counted, which takes a log that is unreachable for long. The reports of a
	// broadcast to a million connections fit.
	maxPending = 128 << 20
	// recordBytes is about what a record takes besides its text, and progressBytes what the
	// report of one connection takes.
	recordBytes   = 256
	progressBytes = 64
	// maxTracked bounds the spans, starts and acknowledgements of all gateways together.
	maxTracked = 4 << 20

	writeEvery = time.Second // progress is written so often
	trimEvery  = time.Minute // what has left the log is forgotten so often
	retryAfter = time.Second // the pause after the log could not be read or written
)

// A Log is the log of events, as far as the Recorder uses it.
type Log interface {
	// Shared reports whether other nodes can use the log.
	Shared() bool
	// Epoch returns the newest epoch.
	Epoch() uint64
	// First returns the sequence of the oldest event.
	First() uint64
	// Valid returns the sequence up to which an epoch's history is the current one's.
	Valid(ctx context.Context, epoch uint64) uint64
	// Find returns the sequence of an event's id, and whether the history contains it.
	Find(ctx context.Context, id event.Cursor) (seq uint64, ok bool, err error)
	Get(ctx context.Context, seq uint64) (eventlog.Entry, error)
	// Skipped reports something in the shared streams that no node wrote.
	Skipped(source eventlog.Source, what string, err error)
	Journal(ctx context.Context, cfg eventlog.JournalConfig) (*eventlog.Journal, error)
}

// Config is what a Recorder is made from.
type Config struct {
	NodeID         string
	Log            Log
	Retention      time.Duration // of events
	RetentionBytes int64         // of events; 0: no limit
	// IsTarget reports whether an event with a target was for a gateway. The Recorder
	// calls it from its own goroutine.
	IsTarget func(gatewayID string, t event.Target, id event.Cursor, published time.Time) bool
	Counts   *metrics.Node
	Logger   *slog.Logger
}

// A Recorder records delivery status. Any goroutine can call its exported methods.
type Recorder struct {
	Config // constant
	// compactAfter is how many bytes of updates are written between compactions. Constant.
	compactAfter int

	// Journals. Safe for any goroutine.
	updates  *eventlog.Journal
	messages *eventlog.Journal
	failures *eventlog.Journal

	// Shared state with its own locks.
	tracker     *tracker.Tracker
	deployments *deployments
	gaps        heldGaps // of gateways that resumed at this node
	// onRemoteStart is called when a connection began on another node. Nil until it is set.
	onRemoteStart atomic.Pointer[func(gatewayID string)]

	// Reports on their way from any goroutine to run.
	inbox   poller.Inbox[report]
	pending atomic.Int64  // bytes of reports, and of unwritten
	wake    chan struct{} // capacity 1: the inbox may have reports

	// Lifecycle.
	cancel context.CancelFunc
	quit   chan struct{} // closed when no more reports come
	ended  chan struct{} // closed when both goroutines have returned
	synced chan struct{} // closed when the tracker has everything that was recorded before

	// Written by follow, read by run.
	lostUpdates atomic.Bool   // the journal outcomes has lost records: the tracker must be written to it
	applied     atomic.Uint64 // sequence in the journal outcomes up to which the tracker has it

	// Owned by run.
	unwritten      tracker.Updates // applied to the tracker, and not in the journal yet
	unwrittenBytes int64           // what unwritten counts in pending
	epoch          uint64          // of the log, that sequences in unwritten belong to
	writtenBytes   int             // of updates, since the last compaction
	shares         *shares         // of the journal messages
	evictionLogged time.Time       // when evictions were last logged
	lateAcks       []lateAck       // deployment.acks whose events this node may not have seen yet
	recent         recentEvents    // recently acknowledged: many gateways acknowledge the same event
}

// Open opens the journals, reads what was recorded before, and starts the Recorder.
func Open(ctx context.Context, cfg Config) (*Recorder, error) {
	r := &Recorder{
		Config:      cfg,
		tracker:     tracker.New(maxTracked),
		deployments: newDeployments(),
		wake:        make(chan struct{}, 1),
		quit:        make(chan struct{}),
		ended:       make(chan struct{}),
		synced:      make(chan struct{}),
	}
	if err := r.openJournals(ctx); err != nil {
		return nil, err
	}
	lifetime, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	followed := make(chan struct{})
	go func() { defer close(followed); r.follow(lifetime) }()
	go func() { defer close(r.ended); r.run(lifetime); cancel(); <-followed }()
	select {
	case <-r.synced:
		return r, nil
	case <-ctx.Done():
		r.Stop()
		return nil, ctx.Err()
	}
}

// Stop writes what is left and ends the Recorder. No report may come after the call.
func (r *Recorder) Stop() {
	close(r.quit)
	// An unreachable log must not hold the node's end up.
	timeout := time.AfterFunc(writeEvery, r.cancel)
	defer timeout.Stop()
	<-r.ended
}

// OnRemoteStart sets a function that is called when a connection of a gateway began on
// another node. It must report at once how far the gateway's connections on this node
// have come: if this node is killed, what is known of them ends at the new start. It
// must not block.
func (r *Recorder) OnRemoteStart(f func(gatewayID string)) { r.onRemoteStart.Store(&f) }

// NoteDeployment notes the deployment that an event names. It is called before the event
// is dispatched: gateways can acknowledge it within the same millisecond.
func (r *Recorder) NoteDeployment(e *eventlog.Entry) { r.deployments.note(e) }

// Rewind forgets everything about events after seq: the log's history went back to
// there, and later sequences belong to other events.
func (r *Recorder) Rewind(seq uint64) {
	r.tracker.Rewind(seq)
	r.deployments.rewind(seq)
}

// Status returns the delivery status of an event at one of its target gateways.
func (r *Recorder) Status(gatewayID string, seq uint64) tracker.Status {
	return r.tracker.Status(gatewayID, seq)
}

// Floor returns the sequence up to which no delivery status is known any more.
func (r *Recorder) Floor() uint64 { return r.tracker.Floor() }

// A report is something to record. One of its fields is set.
type report struct {
	shard  shard.Report
	failed []Failed      // deliveries that the API found to have failed
	notice *shard.Notice // of kind DeliveryFailed: deliveries that a loop gave up
}

// Report takes what a loop reports. It never blocks.
func (r *Recorder) Report(rep shard.Report) { r.push(report{shard: rep}) }

// push queues a report, or drops and counts it if too much is pending.
func (r *Recorder) push(rep report) {
	bytes, records := rep.size()
	if r.pending.Add(bytes) > maxPending {
		r.pending.Add(-bytes)
		r.Counts.RecordsDropped.Add(float64(records))
		return
	}
	if r.inbox.Push(rep) {
		select {
		case r.wake <- struct{}{}:
		default: // a wake-up is pending
		}
	}
}

// size returns about how many bytes a report takes, and how many records it becomes.
// Messages of a notice count in full: the report can be the last to refer to them.
func (rep *report) size() (bytes int64, records int) {
	connections := len(rep.shard.Starts) + len(rep.shard.Progress)
	records = len(rep.shard.Inbound) + len(rep.failed)
	size := connections*progressBytes + (1+records)*recordBytes
	for i := range rep.shard.Inbound {
		m := &rep.shard.Inbound[i]
		size += len(m.Payload) + len(m.Status) + len(m.Error) + len(m.DeploymentID) + len(m.PerformedAt)
	}
	records += connections
	if rep.notice != nil {
		records += len(rep.notice.Messages)
		for _, m := range rep.notice.Messages {
			size += recordBytes + len(m.Wire)
		}
	}
	return int64(size), records
}

// run processes reports until ctx ends, and after quit is closed those that are left.
func (r *Recorder) run(ctx context.Context) {
	write := time.NewTicker(writeEvery)
	defer write.Stop()
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	for {
		select {
		case <-r.wake:
			r.process(ctx)
		case now := <-write.C:
			r.retryLateAcks(ctx, now)
			r.recordGaps(ctx, now, false)
			r.writeUpdates(ctx)
			if r.lostUpdates.Swap(false) { // every node does this: they all know the same
				r.compact(ctx)
			}
		case now := <-trim.C:
			r.trim(ctx, now)
		case <-r.quit:
			r.process(ctx)
			r.recordGaps(ctx, time.Now(), true)
			r.writeUpdates(ctx)
			return
		case <-ctx.Done():
			return
		}
	}
}

// trim forgets what has left the log and the journal messages.
func (r *Recorder) trim(ctx context.Context, now time.Time) {
	r.tracker.Trim(r.Log.First())
	if first, _, err := r.messages.Bounds(ctx); err == nil { // else the next trim does it
		r.shares.trim(first, now)
	}
}

// A batch collects what a number of reports become.
type batch struct {
	updates  tracker.Updates // of the report that is being processed
	messages []eventlog.Record
	failures []eventlog.Record
}

// process takes all reports from the inbox. It applies updates to the tracker at once,
// and writes messages, failures and connection starts.
func (r *Recorder) process(ctx context.Context) {
	reports := r.inbox.Take(nil)
	if r.Log.Shared() && anyResumed(reports) {
		r.catchUp(ctx)
	}
	var b batch
	taken, immediate := int64(0), false
	for i := range reports {
		rep := &reports[i]
		bytes, _ := rep.size()
		taken += bytes
		if r.processShard(ctx, &rep.shard, &b) {
			immediate = true
		}
		b.failures = appendFailures(b.failures, rep.failed)
		if rep.notice != nil {
			b.failures = appendFailures(b.failures, FailedOf(rep.notice))
		}
	}
	if immediate {
		r.writeUpdates(ctx)
	}
	r.writeMessages(ctx, b.messages)
	r.write(ctx, r.failures, b.failures)
	r.pending.Add(-taken)
	r.countUnwritten()
}

// processShard processes a loop's report. It reports whether the updates must be
// written at once, so that they are not lost if the node is killed.
func (r *Recorder) processShard(ctx context.Context, rep *shard.Report, b *batch) (immediate bool) {
	if rep.Epoch != 0 && rep.Epoch != r.epoch {
		r.writeUpdates(ctx) // a record has one epoch
		r.epoch = rep.Epoch
	}
	valid := r.Log.Valid(ctx, r.epoch)
	immediate = rep.Immediate
	for _, s := range rep.Starts {
		if s.After <= valid && r.recordStart(s) {
			immediate = true
		}
	}
	b.updates = tracker.Updates{Progress: rep.Progress}
	for i := range rep.Inbound {
		r.recordInbound(ctx, &rep.Inbound[i], b)
	}
	r.apply(b.updates.UpTo(valid))
	return immediate
}

// apply applies updates to the tracker and queues them to be written.
func (r *Recorder) apply(u tracker.Updates) {
	r.tracker.Apply(u)
	r.unwritten.Progress = append(r.unwritten.Progress, u.Progress...)
	r.unwritten.Acks = append(r.unwritten.Acks, u.Acks...)
}

// countUnwritten makes pending count what unwritten has now.
func (r *Recorder) countUnwritten() {
	bytes := progressBytes * int64(len(r.unwritten.Progress)+len(r.unwritten.Acks))
	r.pending.Add(bytes - r.unwrittenBytes)
	r.unwrittenBytes = bytes
}
