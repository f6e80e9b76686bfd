// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/internal/natsstore/check"
)

// A Config says where the streams are stored.
type Config struct {
	// Dir is the folder of the embedded server, made with mode 0700. Unused with InMemory
	// and with URL.
	Dir string
	// Sentinel names a file outside Dir that is written when there is a log in Dir. When it
	// exists and Dir is empty, Open returns an error. Empty: no such file.
	Sentinel string
	// InMemory keeps everything in memory. Close discards it.
	InMemory bool
	// SyncAlways syncs every write before it is acknowledged. Otherwise the operating
	// system has it by then, and the disk two seconds later.
	SyncAlways bool
	// MaxEventBytes is the size of the largest event body; zero means 1 MiB.
	MaxEventBytes int
	// URL names the servers of an existing NATS cluster, separated by commas. The streams
	// are stored there and shared with other nodes. Empty: the embedded server stores them.
	URL string
	// Replicas is how many servers of the cluster keep each stream; zero means three if
	// there are three, else one. An existing stream never gets fewer.
	Replicas int
	// Repair moves damaged files in Dir aside and keeps the rest. Otherwise a damaged store
	// is an error that says what is damaged.
	Repair bool
	// Node names this node to the cluster.
	Node string
	// OnLost is called when the connection is closed for good: the process must end. Nil:
	// it is not called.
	OnLost func(error)
	// Logger receives warnings and errors, also those of the embedded server; nil means
	// slog.Default().
	Logger *slog.Logger
	// Options are added to those of the connection. For tests.
	Options []nats.Option
}

func (c *Config) setDefaults() {
	if c.MaxEventBytes == 0 {
		c.MaxEventBytes = 1 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.OnLost == nil {
		c.OnLost = func(error) {}
	}
}

func (c *Config) validate() error {
	switch {
	case c.Dir == "" && !c.InMemory && c.URL == "":
		return errors.New("event log: no folder is set; name one, or keep the log in memory")
	case c.Replicas < 0 || c.Replicas > 5 || c.Replicas > 0 && c.URL == "":
		return fmt.Errorf("event log: %d replicas are not possible; want 1 to 5 of a cluster, or 0 for the default", c.Replicas)
	case c.MaxEventBytes < 0 || c.MaxEventBytes > math.MaxInt32-headroom:
		return fmt.Errorf("event log: events of %d bytes are beyond its limits; want 1 to %d", c.MaxEventBytes, math.MaxInt32-headroom)
	}
	return nil
}

// A Store is an open store. It is safe for concurrent use.
type Store struct {
	// Constant after Open.
	cfg     Config
	backend backend
	conn    *nats.Conn
	js      jetstream.JetStream
	folder  *check.Folder // of the embedded server; nil if there is none on disk
	space   *space        // the same
	link    *link

	denied  atomic.Pointer[string] // what the servers did not allow last
	refusal atomic.Pointer[string] // why the servers refused the connection last
	// handlers are those of OnConnection; nil before.
	handlers atomic.Pointer[handlers]

	// ctx ends with storage.ErrClosed in Close, and with it every reader.
	ctx context.Context
	end context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	readers sync.WaitGroup // watches; no Add once closed
}

var _ storage.Store = (*Store)(nil)

// Open opens the store, or makes it. Its errors are one line that says what is wrong and what
// to do about it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, link: newLink()}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	if cfg.URL != "" {
		s.backend = &cluster{url: cfg.URL, node: cfg.Node}
	} else {
		e, err := startServer(cfg)
		if err != nil {
			return nil, err
		}
		s.backend, s.folder = e, e.folder
	}
	if !cfg.InMemory && cfg.URL == "" {
		s.space = newSpace(cfg.Dir, int64(cfg.MaxEventBytes))
	}
	if err := s.start(ctx); err != nil {
		_ = s.Close() // err says more
		return nil, err
	}
	return s, nil
}

// start connects to the servers.
func (s *Store) start(ctx context.Context) error {
	var err error
	if s.conn, err = s.connectPatiently(ctx); err != nil {
		return s.backend.unreachable(err)
	}
	s.link.gained()
	s.warnOfMaxPayload()
	// Without a timeout, records of a journal that are never answered would count as
	// pending for ever, and in the end none could be sent.
	if s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncTimeout(publishTimeout)); err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	return s.backend.recovered(ctx, s.js)
}

// Close ends all watches, closes the connection, and shuts the embedded server down. A function that a watch is
// calling must return before Close does. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()

	s.end(storage.ErrClosed)
	s.readers.Wait()
	if s.conn != nil {
		s.conn.Close()
	}
	return s.backend.stop()
}

// reading returns a context that ends with ctx and when the store is closed. Close waits until
// done is called.
func (s *Store) reading(ctx context.Context) (_ context.Context, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, storage.ErrClosed
	}
	s.readers.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(s.ctx, func() { cancel(storage.ErrClosed) })
	return ctx, func() { unlink(); cancel(nil); s.readers.Done() }, nil
}

// String names the servers, without the passwords and tokens that can be in their URLs.
func (s *Store) String() string { return s.backend.String() }

// Shared reports whether other nodes use the same streams.
func (s *Store) Shared() bool { return s.backend.shared() }

// MaxEventBytes is the size of the largest event body.
func (s *Store) MaxEventBytes() int { return s.cfg.MaxEventBytes }

// Conn returns the connection, for tests that use NATS' own API on the streams.
func (s *Store) Conn() *nats.Conn { return s.conn }

// Reserve returns an error that matches [storage.ErrUnavailable] when the disk has no room for
// n more bytes.
func (s *Store) Reserve(n int) error { return s.space.take(n) }

// Health reports whether the store has failed, as far as the embedded server knows.
func (s *Store) Health() error { return s.backend.health() }

// LastError returns what the embedded server logged last.
func (s *Store) LastError() string { return s.backend.lastError() }

// Check implements [storage.Store]. It writes nothing.
func (s *Store) Check(ctx context.Context) error {
	if !s.conn.IsConnected() {
		return fmt.Errorf("%w: there is no connection to %s", storage.ErrUnavailable, s.backend)
	}
	// First, because it ends with ctx when the store hangs; health would not.
	stream, err := s.js.Stream(ctx, storage.EventsStream)
	if err != nil {
		return fmt.Errorf("%w: %w%s", storage.ErrUnavailable, err, s.LastError())
	}
	if err := quorum(stream.CachedInfo().Cluster); err != nil {
		return err
	}
	if err := s.Health(); err != nil {
		return err
	}
	return s.space.check()
}

// Recovery implements [storage.Store].
func (s *Store) Recovery(stream string) storage.Recovery { return s.folder.Recovery(stream) }

// EpochBegan implements [storage.Store].
func (s *Store) EpochBegan(stream string, epoch, seq uint64) error {
	return s.folder.EpochBegan(stream, epoch, seq)
}

// Checkpoint implements [storage.Store].
func (s *Store) Checkpoint(ctx context.Context, seq uint64) error {
	s.folder.Note(storage.EventsStream, seq)
	return s.folder.Checkpoint(time.Now(), func(stream string) (last, messages uint64, err error) {
		found, err := s.js.Stream(ctx, stream)
		if err != nil {
			return 0, 0, err
		}
		state := found.CachedInfo().State
		return state.LastSeq, state.Msgs, nil
	})
}

// noteStream records what a stream holds.
func (s *Store) noteStream(info *jetstream.StreamInfo) {
	s.folder.NoteStream(info.Config.Name, info.State.LastSeq, info.State.Msgs)
}

// A backend is the servers that store the streams: the embedded one, or a cluster.
type backend interface {
	fmt.Stringer
	// address returns what to connect to, and how.
	address() (url string, options []nats.Option)
	// unreachable returns the error to report when connecting failed.
	unreachable(err error) error
	// shared reports whether other nodes use the servers.
	shared() bool
	// recovered checks that every stream that was stored before is there.
	recovered(ctx context.Context, js jetstream.JetStream) error
	// lastError returns what the server logged last, in parentheses and after a space.
	lastError() string
	// health returns what is wrong with the stream of events, as far as the server knows
	// without a request over the connection.
	health() error
	stop() error
}
