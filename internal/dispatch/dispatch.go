// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/tracing"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// retryAfter is the pause after the log could not be read.
const retryAfter = time.Second

// Config is what a Dispatcher is made from.
type Config struct {
	Log       *eventlog.Log
	Recorder  *delivery.Recorder
	WebSocket *shard.WebSocket
	// CompressionThreshold is the size of the smallest event that is compressed, in bytes.
	CompressionThreshold int
	Tracer               *tracing.Tracer // nil: nothing is traced
	// Reach returns how many gateways a target has, and how many of them are connected. It
	// is used for traces.
	Reach  func(event.Target) (targets, connected int, unknown string)
	Counts *metrics.Node
	Logger *slog.Logger
}

// A Dispatcher passes events of the log to the shards. Any goroutine can use it, except
// that Start and Stop are called in turn.
type Dispatcher struct {
	Config // constant
	router *shard.Router

	// Owned by the goroutine of Start. Events up to here were in the log before the node
	// started: they are loaded into the shards' windows, and not delivered live.
	preload uint64

	// Written by the goroutine of Start, read by any.
	lineage  atomic.Pointer[eventlog.Lineage] // that the shards have
	position atomic.Uint64                    // sequence of the last dispatched event
	broken   atomic.Bool                      // the last attempt to read the log failed
	moved    chan struct{}                    // capacity 1: position has changed

	cancel context.CancelFunc
	ended  chan struct{} // closed when the goroutine of Start has returned
}

// New returns a Dispatcher for the log as it is now. The shards are then started at its
// Lineage, with Read, and given to Start.
func New(cfg Config) *Dispatcher {
	d := &Dispatcher{Config: cfg, moved: make(chan struct{}, 1)}
	d.lineage.Store(cfg.Log.Lineage())
	d.preload = cfg.Log.Last().Seq
	return d
}

// Start dispatches events after a sequence. It returns when the shards have everything
// that was in the log when the Dispatcher was made: gateways that resume after a restart
// then find what they missed in memory.
func (d *Dispatcher) Start(ctx context.Context, router *shard.Router, after uint64) error {
	d.router = router
	d.position.Store(after)
	preload := d.preload
	d.Resume()
	return d.wait(ctx, preload)
}

// Resume starts dispatching after the last dispatched event. Start calls it; tests call
// it after Stop.
func (d *Dispatcher) Resume() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.ended = cancel, make(chan struct{})
	go d.run(ctx)
}

// Stop ends dispatching and waits for its goroutine.
func (d *Dispatcher) Stop() {
	d.cancel()
	<-d.ended
}

// Lineage returns the log's history as the shards have it.
func (d *Dispatcher) Lineage() *eventlog.Lineage { return d.lineage.Load() }

// Position returns the sequence of the last dispatched event.
func (d *Dispatcher) Position() uint64 { return d.position.Load() }

// Healthy reports whether the last attempt to read the log succeeded.
func (d *Dispatcher) Healthy() bool { return !d.broken.Load() }

// Reached waits until everything that the log has now is dispatched. One goroutine at a
// time can wait.
func (d *Dispatcher) Reached(ctx context.Context) error { return d.wait(ctx, d.Log.Last().Seq) }

func (d *Dispatcher) wait(ctx context.Context, seq uint64) error {
	for d.position.Load() < seq {
		select {
		case <-d.moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// run follows the log until ctx ends.
func (d *Dispatcher) run(ctx context.Context) {
	defer close(d.ended)
	follower := eventlog.Follower{
		Event:          d.event,
		LineageChanged: d.setLineage,
		Reading:        func() { d.broken.Store(false) },
	}
	for {
		err := d.Log.Follow(ctx, d.Lineage(), d.Position(), follower)
		if ctx.Err() != nil {
			return
		}
		d.broken.Store(true)
		d.Logger.Error("cannot read the event log; retrying", "error", err, "after", d.Position())
		sleep(ctx, retryAfter)
	}
}

// event dispatches an entry of the log.
func (d *Dispatcher) event(e eventlog.Entry) {
	d.dispatch(e)
	d.position.Store(e.Cursor.Seq)
	select {
	case d.moved <- struct{}{}:
	default: // nobody waited since the last one
	}
}

func (d *Dispatcher) dispatch(e eventlog.Entry) {
	switch {
	case e.Lost: // a gap: what follows does not continue what was before
		d.router.MarkLost(e.Cursor.Seq)
		return
	case e.Body == nil: // not an event, a marker for one
		d.router.Advance(e.Cursor.Seq)
		return
	}
	d.Recorder.NoteDeployment(&e)
	switch {
	case e.Cursor.Seq <= d.preload:
		d.router.Preload(e.Target, newMessage(e))
	case d.Tracer == nil:
		d.router.Dispatch(e.Target, d.liveMessage(e))
	default:
		d.dispatchTraced(e)
	}
}

// dispatchTraced dispatches an event within a span, if its publish has one. The span
// ends when all target shards have the event in their inboxes: shards do not report
// single events.
func (d *Dispatcher) dispatchTraced(e eventlog.Entry) {
	span := d.Tracer.Deliver(e.Cursor, e.Body)
	d.router.Dispatch(e.Target, d.liveMessage(e))
	if span != nil {
		targets, connected, _ := d.Reach(e.Target)
		span.End(event.TypeOf(e.Body), e.Target, targets, connected)
	}
}

// setLineage switches to another history of the log, which agrees with the previous one
// up to the sequence common. Later sequences belong to other events now.
func (d *Dispatcher) setLineage(l *eventlog.Lineage, common uint64) {
	d.position.Store(min(d.position.Load(), common))
	d.preload = min(d.preload, common)
	d.router.SetLineage(l, common)
	d.Recorder.Rewind(common)
	d.lineage.Store(l) // last: whoever reads the log by it finds the shards there
}

func newMessage(e eventlog.Entry) *shard.Message {
	return shard.NewMessage(e.Cursor, e.Key, e.Body, e.Published.UnixNano())
}

// liveMessage returns the message of a new event.
func (d *Dispatcher) liveMessage(e eventlog.Entry) *shard.Message {
	m := newMessage(e)
	d.compress(m)
	return m
}

// compress adds the compressed form to a message if a connection takes it. It is done
// here, once per event, so that loops never compress. Messages that a scan reads from
// the log stay uncompressed: each scan would compress them again.
func (d *Dispatcher) compress(m *shard.Message) {
	if len(m.Body) < d.CompressionThreshold || !d.WebSocket.Deflating() {
		return
	}
	if saved := shard.Deflate(m); saved > 0 {
		d.Counts.EventsCompressed.Inc()
		d.Counts.CompressionSaved.Add(float64(saved))
	}
}

// Read reads the log after a sequence, for shards whose windows do not reach back that
// far. It is the shards' Reader.
func (d *Dispatcher) Read(ctx context.Context, after uint64, f func(event.Target, *shard.Message) error) (upTo uint64, err error) {
	return d.Log.ReadIn(ctx, d.Lineage(), after, func(e eventlog.Entry) error {
		switch {
		case e.Lost: // the reader finds the gap in the sequences
			return nil
		case e.Body == nil: // not an event: for no gateway
			return f(event.Target{}, &shard.Message{Cursor: e.Cursor})
		}
		return f(e.Target, newMessage(e))
	})
}

// sleep waits for a duration, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
