// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

const (
	streamName    = storage.EventsStream
	subjectPrefix = storage.EventsPrefix
)

// ErrUnavailable is wrapped by every error that says that the log cannot be read or written
// now: a full disk, a failed store, no answer in time, a closed log.
var ErrUnavailable = storage.ErrUnavailable

// A Bus carries messages between the nodes that share a log. See [storage.Bus].
type Bus = storage.Bus

// A Log is an open event log. It is safe for concurrent use.
type Log struct {
	// Constant after Open.
	cfg     Config
	store   storage.Store
	stream  storage.Stream
	out     *appender
	skipped *skipLog
	history *history // of the stream of events
	shared  bool     // other nodes append too
	run     string   // names this opening of the log to other nodes
	alone   bool     // no other node of a shared log was there when it was opened

	feed feed // from out to the tails

	first atomic.Uint64 // the oldest sequence retained at the last check
	lost  atomic.Bool   // the log did not answer at the last check

	losses atomic.Uint64                      // counts how often the connection was lost
	kick   chan struct{}                      // has a token when the histories must be checked now
	abort  atomic.Pointer[context.CancelFunc] // of the check in progress
	tails  atomic.Int32                       // tails of a shared log

	// ctx ends with storage.ErrClosed in Close, and with it every reader.
	ctx context.Context
	end context.CancelCauseFunc

	mu      sync.Mutex
	closing bool           // guarded by mu
	checked []*history     // guarded by mu; that of the events first
	readers sync.WaitGroup // tails and watches; no Add once closing
}

// Open opens the log in a store, or makes it. Its errors are one line that says what is wrong
// and what to do about it. The store is the caller's to close, after the log.
func Open(ctx context.Context, store storage.Store, cfg Config) (*Log, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, store: store, shared: store.Shared(), run: fmt.Sprintf("%016x", rand.Uint64()),
		kick: make(chan struct{}, 1), skipped: newSkipLog(cfg.Logger, cfg.OnSkipped),
	}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	l.out = newAppender(l)
	// Before the first stream is opened: a loss from then on can hide a change of its history.
	store.OnConnection(l.disconnected, l.checkSoon)
	if err := l.start(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// start opens the stream, and starts what serves the log.
func (l *Log) start(ctx context.Context) error {
	cfg := l.streamConfig()
	stream, made, err := l.store.OpenStream(ctx, cfg)
	if err != nil {
		return fmt.Errorf("event log: open the stream: %w%s", err, l.store.LastError())
	}
	l.stream = stream
	if l.history, err = l.openHistory(ctx, cfg, subjectPrefix+kindEpoch, stream, made); err != nil {
		return err
	}
	if l.shared {
		if _, err := l.Bus().Subscribe(lineageSubject, l.answerLineage); err != nil {
			return err
		}
	}
	if err := l.out.listen(); err != nil {
		return err
	}
	if err := l.store.Retry(ctx, requestTimeout, func(ctx context.Context) error {
		_, _, err := l.Bounds(ctx)
		return err
	}); err != nil {
		return err
	}
	l.readers.Go(l.watch)
	return nil
}

// requestTimeout bounds one try of a request to a cluster whose leader can be missing.
const requestTimeout = 3 * time.Second

// streamConfig returns what the stream of events keeps.
func (l *Log) streamConfig() storage.StreamConfig {
	return storage.StreamConfig{
		Name:        streamName,
		Description: "gatecast's events, in the order they were published",
		Retention:   l.cfg.Retention,
		Bytes:       l.cfg.RetentionBytes,
	}
}

// openHistory opens the history of a stream, which is checked from then on.
func (l *Log) openHistory(ctx context.Context, cfg storage.StreamConfig, marker string, s storage.Stream, made bool) (*history, error) {
	h := newHistory(l, cfg, marker, s)
	if err := h.open(ctx, made); err != nil {
		return nil, fmt.Errorf("event log: stream %s: %w%s", cfg.Name, err, l.store.LastError())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checked = append(l.checked, h)
	return h, nil
}

// histories returns those that are checked.
func (l *Log) histories() []*history {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.checked)
}

// historyOf returns the history of a stream, or nil when it is not open.
func (l *Log) historyOf(stream string) *history {
	for _, h := range l.histories() {
		if h.name == stream {
			return h
		}
	}
	return nil
}

// disconnected is called when the connection is lost. All shared streams must be compared
// before a position in them is given out again.
func (l *Log) disconnected(err error) {
	l.losses.Add(1)
	if abort := l.abort.Load(); abort != nil { // it would wait for answers that do not come
		(*abort)()
	}
	if l.shared {
		for _, h := range l.histories() {
			h.unsure.Store(true)
		}
	}
	l.out.failAll(err)
}

// branch runs f, with which the history of a stream begins a branch. Appends in progress
// fail: their answers can be from either branch.
func (l *Log) branch(h *history, f func()) {
	if h.name != streamName {
		f()
		return
	}
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.out.failWaiting(errBranched)
	f()
}

// Bus returns the messages between the nodes that share the log.
func (l *Log) Bus() Bus { return l.store.Bus() }

// Shared reports whether other nodes append to the log too.
func (l *Log) Shared() bool { return l.shared }

// Servers names the servers that store the log, without the passwords and tokens that can be
// in their URLs.
func (l *Log) Servers() string { return l.store.String() }

// Check reports whether the log can be read and written: nil, or an error that matches
// [ErrUnavailable]. It writes nothing.
func (l *Log) Check(ctx context.Context) error {
	if l.ctx.Err() != nil {
		return storage.ErrClosed
	}
	if err := l.out.failed(); err != nil {
		return err
	}
	if l.store.Connected() && l.history.unsure.Load() {
		return errUnsure
	}
	return l.store.Check(ctx)
}

// Close waits for the appends in progress, and ends tails and watches. A function that one of
// them is calling must return before Close does. A second call does nothing.
func (l *Log) Close() {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return
	}
	l.closing = true
	l.mu.Unlock()

	// First the appends, which need the store's answers; then what reads.
	l.out.drain()
	l.end(storage.ErrClosed)
	l.readers.Wait()
	l.skipped.close()
}

// reading returns a context that ends with ctx and when the log is closed. Close waits until
// done is called.
func (l *Log) reading(ctx context.Context) (_ context.Context, done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, nil, storage.ErrClosed
	}
	l.readers.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(l.ctx, func() { cancel(storage.ErrClosed) })
	return ctx, func() { unlink(); cancel(nil); l.readers.Done() }, nil
}

// unavailable returns err as one that matches ErrUnavailable.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
