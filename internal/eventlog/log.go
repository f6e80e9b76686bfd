// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
)

// duplicatesFor is how long the log knows an idempotency key.
const duplicatesFor = 2 * time.Minute

const (
	streamName    = "gatecast_events"
	subjectPrefix = "gatecast.event."
)

// ErrUnavailable is wrapped by every error that says the log cannot take or give
// events just now: a full disk, a store that failed, no answer in time, a log
// that is closed.
var ErrUnavailable = errors.New("event log unavailable")

var errClosed = fmt.Errorf("%w: it is closed", ErrUnavailable)

// A Config says where a log is kept and for how long.
type Config struct {
	// Dir is the store's folder, made with mode 0700. Unused when InMemory.
	Dir string
	// Marker names a file outside Dir that says, from the first start on, that there is
	// a log in Dir: when it is gone as a whole, that is an error. Empty: nothing says so.
	Marker string
	// InMemory keeps everything in memory; Close throws it away.
	InMemory bool
	// SyncAlways has every append on disk before it is answered. Otherwise the
	// operating system has it by then, and the disk some seconds later.
	SyncAlways bool
	// Retention is how long an event is kept; zero means without limit, and
	// anything below 100 ms is refused.
	Retention time.Duration
	// RetentionBytes is how large the log grows before the oldest events go;
	// zero means without limit. It counts subjects, headers and some 30 bytes an
	// event besides the bodies.
	RetentionBytes int64
	// MaxEventBytes is the largest body that is taken; zero means 1 MiB.
	MaxEventBytes int
	// URL names the servers of an existing NATS cluster, with commas between them:
	// the log is kept there, and shared with other nodes. Empty: a server inside the
	// process keeps it. Dir, InMemory and SyncAlways are that one's.
	URL string
	// Replicas is how many of URL's servers keep each stream; zero means three
	// where there are three, else one. What exists is never made to have fewer.
	Replicas int
	// Repair has what is damaged in Dir's store moved aside and the rest kept.
	// Otherwise a damaged store is an error, which says what is.
	Repair bool
	// Node names this node to the servers at URL.
	Node string
	// OnForeign is called for every message that is not gatecast's, once for each that
	// a tail or a journal's follower has come to; nil: it is not. It must not block.
	OnForeign func(Source)
	// OnLost is called when the log cannot be reached any more, whatever happens: the
	// process has to end. Nil: nobody is told.
	OnLost func(error)
	// Logger receives what the server inside logs as a warning or worse; nil
	// means slog.Default().
	Logger *slog.Logger

	options []nats.Option // more of them, for tests
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
	if c.OnForeign == nil {
		c.OnForeign = func(Source) {}
	}
}

func (c *Config) validate() error {
	switch {
	case c.Dir == "" && !c.InMemory && c.URL == "":
		return errors.New("event log: no folder is set; name one, or keep the log in memory")
	case c.Retention < 0 || c.Retention > 0 && c.Retention < 100*time.Millisecond:
		return fmt.Errorf("event log: retention %v is too short; want 100ms or more, or 0 for no limit", c.Retention)
	case c.Replicas < 0 || c.Replicas > 5 || c.Replicas > 0 && c.URL == "":
		return fmt.Errorf("event log: %d replicas cannot be; want 1 to 5 of a cluster, or 0 to have it decided", c.Replicas)
	case c.RetentionBytes < 0:
		return fmt.Errorf("event log: retention of %d bytes is negative; want 0 for no limit", c.RetentionBytes)
	case c.MaxEventBytes < 0 || c.MaxEventBytes > math.MaxInt32-headroom:
		return fmt.Errorf("event log: events of %d bytes are beyond its limits; want 1 to %d", c.MaxEventBytes, math.MaxInt32-headroom)
	}
	return nil
}

// A Log is an open event log. Any goroutine may use it.
type Log struct {
	// Constant after Open.
	cfg    Config
	server host
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	space  *space   // nil unless the log is in a folder of this machine
	held   *extents // the same
	out    *appender
	// foreign notes what is not gatecast's.
	foreign *foreignLog
	link    *link
	denied  atomic.Pointer[string] // what the servers did not allow last
	refusal atomic.Pointer[string] // why the servers refused the connection last

	history *history // of the stream of events
	feed    feed     // from out to the tails

	// first is the oldest sequence retained, when it was last asked for.
	first atomic.Uint64
	lost  atomic.Bool // the log did not answer when it was last asked

	run   string                             // names this opening of the log to other nodes; constant
	alone bool                               // of a shared log: no other node was there when it was opened; constant after
	conns atomic.Uint64                      // counts losses of the connection
	kick  chan struct{}                      // has a token when the histories are to be checked now
	abort atomic.Pointer[context.CancelFunc] // of the check under way
	tails atomic.Int32                       // of a shared log, how many tails follow it

	// life ends with errClosed in Close, and with it every tail and watch.
	life context.Context
	end  context.CancelCauseFunc

	mu      sync.Mutex
	closing bool           // guarded by mu
	watched []*history     // guarded by mu; of the events first
	readers sync.WaitGroup // tails and watches; no Add once closing
}

// Open opens the log in cfg.Dir, or makes it. An error is one line that says
// what stands in the way and what to do about it.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	server, err := hostOf(cfg)
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, server: server, run: nats.NewInbox(), kick: make(chan struct{}, 1), foreign: newForeignLog(cfg.Logger, cfg.OnForeign), link: newLink()}
	l.life, l.end = context.WithCancelCause(context.Background())
	l.out = newAppender(l)
	if !cfg.InMemory && cfg.URL == "" {
		l.space = newSpace(cfg.Dir, int64(cfg.MaxEventBytes))
		l.held = server.(*embedded).extents
	}
	if err := l.start(ctx); err != nil {
		_ = l.stop() // the error that brought us here says more
		return nil, err
	}
	return l, nil
}

// start connects to the server and finds or makes the stream.
func (l *Log) start(ctx context.Context) error {
	var err error
	if l.conn, err = l.connectPatiently(ctx); err != nil {
		return l.server.unreachable(err)
	}
	l.link.gained()
	l.warnOfMaxPayload()
	// Without a timeout a journal's records that are never answered would count as
	// under way for ever, and in the end none would be sent.
	if l.js, err = jetstream.New(l.conn, jetstream.WithPublishAsyncTimeout(appendTimeout)); err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	if err := l.server.recovered(ctx, l.js); err != nil {
		return err
	}
	var made bool
	if l.stream, made, err = l.openStream(ctx, l.streamConfig()); err != nil {
		return fmt.Errorf("event log: open the stream: %w%s", err, l.server.because())
	}
	if l.history, err = l.openHistory(ctx, l.streamConfig(), subjectPrefix+kindEpoch, l.stream, made); err != nil {
		return err
	}
	if l.server.shared() {
		if _, err := l.Bus().Subscribe(lineageSubject, l.answerLineage); err != nil {
			return err
		}
	}
	if err := l.out.listen(); err != nil {
		return err
	}
	if l.server.shared() {
		if err := l.allowed(); err != nil {
			return err
		}
	}
	if err := l.patiently(ctx, openTry, func(ctx context.Context) error {
		_, _, err := l.Bounds(ctx)
		return err
	}); err != nil {
		return err
	}
	l.readers.Go(l.watch)
	return nil
}

// keyHeaders is about what an event's key and idempotency key take in a message at most.
const keyHeaders = 1 << 10

// warnOfMaxPayload says so when the servers do not take the largest events.
func (l *Log) warnOfMaxPayload() {
	if !l.server.shared() {
		return
	}
	takes, want := l.conn.MaxPayload(), int64(l.cfg.MaxEventBytes)
	args := []any{"maxPayload", takes, "largestEvent", want}
	switch {
	case takes < want:
		l.cfg.Logger.Warn("max_payload of "+l.server.String()+" is below --max-payload: larger events are refused; raise the one or lower the other", args...)
	case takes < want+keyHeaders:
		l.cfg.Logger.Info("max_payload of "+l.server.String()+" has no room for the headers of the largest events; those with a key or many gateways may be refused", args...)
	}
}

// openHistory learns the history of a stream, which is checked from then on.
func (l *Log) openHistory(ctx context.Context, cfg jetstream.StreamConfig, marker string, s jetstream.Stream, made bool) (*history, error) {
	h := newHistory(l, cfg, marker, s)
	if err := h.open(ctx, made); err != nil {
		return nil, fmt.Errorf("event log: stream %s: %w%s", cfg.Name, err, l.server.because())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched = append(l.watched, h)
	return h, nil
}

// histories returns those that are checked.
func (l *Log) histories() []*history {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.watched)
}

// historyOf returns the history of a stream, nil when it is not open.
func (l *Log) historyOf(stream string) *history {
	for _, h := range l.histories() {
		if h.name == stream {
			return h
		}
	}
	return nil
}

// doubt has all shared streams compared before anything more is named.
func (l *Log) doubt() {
	l.conns.Add(1)
	if abort := l.abort.Load(); abort != nil { // it would wait for answers that do not come
		(*abort)()
	}
	if !l.server.shared() {
		return
	}
	for _, h := range l.histories() {
		h.unsure.Store(true)
	}
}

// checkSoon has the histories checked now.
func (l *Log) checkSoon() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// turned runs turn, with which the history of a stream begins a branch. Appends under
// way fail: what they are answered may belong to either.
func (l *Log) turned(h *history, turn func()) {
	if h.name != streamName {
		turn()
		return
	}
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.out.failWaiting(errTurned)
	turn()
}

// openStream finds or makes a stream, with the replicas that it is to have, and reports
// whether it was made.
func (l *Log) openStream(ctx context.Context, cfg jetstream.StreamConfig) (s jetstream.Stream, made bool, err error) {
	err = l.patiently(ctx, openTry, func(ctx context.Context) (err error) {
		if cfg.Replicas, made, err = l.replicasOf(ctx, cfg.Name); err != nil {
			return err
		}
		if l.server.shared() && !made {
			if there, err := l.js.Stream(ctx, cfg.Name); err == nil {
				if err := adopt(there.CachedInfo().Config, cfg); err != nil {
					return err
				}
			}
		}
		s, err = l.js.CreateOrUpdateStream(ctx, cfg)
		return needs(l.judge(err), cfg)
	})
	if err == nil {
		l.held.noteStream(s.CachedInfo())
	}
	return s, made, err
}

// replicasOf returns how many servers are to keep a stream: never fewer than do,
// as a node may see fewer servers than there are. It reports whether it is to be made.
func (l *Log) replicasOf(ctx context.Context, stream string) (n int, missing bool, err error) {
	there, err := l.js.Stream(ctx, stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return l.replicas(), true, nil
	case err != nil:
		return 0, false, err
	}
	return max(l.replicas(), there.CachedInfo().Config.Replicas), false, nil
}

const (
	// OpenPatience is how long a cluster may take to have a leader when a node
	// starts, which it may do just because a server was lost.
	OpenPatience = 30 * time.Second
	openTry      = 3 * time.Second
	openPause    = 250 * time.Millisecond
)

// patiently does what opens a part of the log: once with a server of our own, and
// with a cluster until it can be done or OpenPatience is over, each time for so long.
func (l *Log) patiently(ctx context.Context, each time.Duration, open func(context.Context) error) error {
	if !l.server.shared() {
		return open(ctx)
	}
	for began := time.Now(); ; {
		try, cancel := context.WithTimeout(ctx, each)
		err := l.judge(open(try))
		cancel()
		if err == nil || over(ctx, err, began) {
			return err
		}
		l.cfg.Logger.Warn("event log: the cluster is not ready; trying again", "err", err)
		time.Sleep(openPause)
	}
}

// replicas returns how many servers are to keep a new stream.
func (l *Log) replicas() int {
	switch {
	case l.cfg.Replicas > 0:
		return l.cfg.Replicas
	case l.cfg.URL != "" && len(l.conn.Servers()) >= 3:
		return 3
	}
	return 1
}

// authPatience is how long servers may refuse the log when it is opened: while a
// password is changed, some know the new one and some the old one.
const authPatience = 5 * time.Second

// connectPatiently connects, and again for a while when it is refused.
func (l *Log) connectPatiently(ctx context.Context) (*nats.Conn, error) {
	for deadline := time.Now().Add(authPatience); ; {
		c, err := l.connect()
		if err == nil || !isAuthError(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return c, err
		}
		l.refused(nil, err)
		pauseFor(ctx, openPause)
	}
}

// pauseFor waits, or until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// isAuthError reports whether the servers did not accept who connects.
func isAuthError(err error) bool {
	for _, target := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func (l *Log) connect() (*nats.Conn, error) {
	log := l.cfg.Logger
	url, options := l.server.address()
	options = append(options, l.cfg.options...)
	return nats.Connect(url, append(options,
		nats.MaxReconnects(-1),
		// Or two refusals in a row, as while a password is changed, would close the
		// connection for good.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectErrHandler(l.refused),
		nats.ClosedHandler(l.closed),
		// Nothing is kept back while there is no connection: an append fails at
		// once, and none is written later behind its caller's back.
		nats.ReconnectBufSize(-1),
		nats.ReconnectHandler(func(*nats.Conn) {
			log.Info("event log: connected to " + l.server.String() + " again")
			l.link.gained()
			l.checkSoon()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.link.lost()
			if err != nil {
				log.Error("event log: connection to "+l.server.String()+" lost", "err", err)
			}
			l.doubt()
			l.refusal.Store(nil)
			l.out.failAll(fmt.Errorf("%w: connection to %s lost", ErrUnavailable, l.server))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.noteDenied(err)
			log.Warn("event log: client", "err", err)
		}),
	)...)
}

// refused notes why the servers do not take the connection back, once for each reason.
func (l *Log) refused(_ *nats.Conn, err error) {
	text := err.Error()
	if was := l.refusal.Swap(&text); was == nil || *was != text {
		l.cfg.Logger.Error("event log: no connection to "+l.server.String()+"; trying again", "err", err)
	}
}

// closed runs when the connection has ended for good. The client does that by itself
// when it is told an error that it does not know; it cannot be mended from here.
func (l *Log) closed(c *nats.Conn) {
	if l.life.Err() != nil {
		return
	}
	err := fmt.Errorf("%w: the connection to %s was closed for good: %w", ErrUnavailable, l.server, c.LastError())
	l.cfg.Logger.Error("event log: no connection", "err", err)
	l.cfg.OnLost(err)
}

func (l *Log) streamConfig() jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name:        streamName,
		Description: "gatecast's events, in the order they were published",
		Subjects:    []string{subjectPrefix + ">"},
		Storage:     l.storage(),
		Discard:     jetstream.DiscardOld,
		MaxAge:      l.cfg.Retention,
		MaxBytes:    -1,
		Duplicates:  duplicatesFor,
	}
	if l.cfg.Retention > 0 { // JetStream wants it no longer than MaxAge
		cfg.Duplicates = min(cfg.Duplicates, l.cfg.Retention)
	}
	if l.cfg.RetentionBytes > 0 {
		cfg.MaxBytes = l.cfg.RetentionBytes
	}
	return cfg
}

func (l *Log) storage() jetstream.StorageType {
	if l.cfg.InMemory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// Epoch returns the newest epoch. Each start begins one, unless the log is shared: a
// shared log has a new one when its history may not be what it was.
func (l *Log) Epoch() uint64 { return l.Lineage().Epoch() }

// Lineage returns the log's lineage as this node knows it now.
func (l *Log) Lineage() *Lineage { return l.history.lineage() }

// Last returns the place of the newest event in the log; its sequence is zero
// when there has never been one. It is never behind a cursor that an append has
// returned or a tail has told, unless the log has gone back since.
func (l *Log) Last() event.Cursor { return l.CursorOf(l.history.last.load()) }

// CursorOf returns the id of the event with a sequence.
func (l *Log) CursorOf(seq uint64) event.Cursor { return l.Lineage().CursorOf(seq) }

// Resolve returns the sequence of a position. It reports whether the log's history, as far
// as this node knows it now, contains what the position stands for: an event, which may
// have left the log since, or the beginning of the log.
func (l *Log) Resolve(c event.Cursor) (seq uint64, ok bool) {
	return c.Seq, l.Lineage().Contains(c) && c.Seq <= l.history.last.load()
}

// Find is Resolve, and asks a shared log about what this node does not know.
func (l *Log) Find(ctx context.Context, c event.Cursor) (seq uint64, ok bool, err error) {
	if seq, ok = l.Resolve(c); ok || !l.server.shared() {
		return seq, ok, nil
	}
	if err := l.history.refresh(ctx); err != nil {
		return 0, false, err
	}
	seq, ok = l.Resolve(c)
	return seq, ok, nil
}

// Valid returns the sequence up to which what was noted in an epoch's history is true of
// the present one: math.MaxUint64 when that is the epoch now. Epoch 0 is the one that the
// log had before there were markers.
func (l *Log) Valid(ctx context.Context, epoch uint64) uint64 {
	if epoch == 0 {
		epoch = l.history.first
	}
	end := event.Cursor{Epoch: epoch, Seq: math.MaxUint64}
	seq, ok := l.Lineage().Clamp(end)
	if !ok && l.server.shared() && l.history.refresh(ctx) == nil { // another node may have begun it just now
		seq, _ = l.Lineage().Clamp(end)
	}
	return seq
}

// Servers names what keeps the log, without the passwords and tokens that may stand
// in its URLs.
func (l *Log) Servers() string { return l.server.String() }

// Check reports whether the log can be reached and written: nil, or an error
// that matches [ErrUnavailable]. It writes nothing.
func (l *Log) Check(ctx context.Context) error {
	if l.life.Err() != nil {
		return errClosed
	}
	if err := l.out.failed(); err != nil {
		return err
	}
	if !l.conn.IsConnected() {
		return fmt.Errorf("%w: there is no connection to %s", ErrUnavailable, l.server)
	}
	if l.history.unsure.Load() {
		return errUnsure
	}
	// First, because it ends with ctx when the store hangs; health would not.
	stream, err := l.js.Stream(ctx, streamName)
	if err != nil {
		return fmt.Errorf("%w: %w%s", ErrUnavailable, err, l.server.because())
	}
	if err := quorum(stream.CachedInfo().Cluster); err != nil {
		return err
	}
	if err := l.server.health(); err != nil {
		return err
	}
	return l.space.check()
}

// silentFor is how long a server that keeps the stream may not be heard of by its
// leader, which should be every second.
const silentFor = 5 * time.Second

// quorum reports whether most of the servers that keep the stream are there. A
// leader that has lost them answers for up to 20 seconds more.
func quorum(c *jetstream.ClusterInfo) error {
	if c == nil || len(c.Replicas) == 0 {
		return nil
	}
	there, of := 1, len(c.Replicas)+1 // with the leader
	for _, r := range c.Replicas {
		if !r.Offline && r.Active < silentFor {
			there++
		}
	}
	if 2*there <= of {
		return fmt.Errorf("%w: only %d of the %d servers that keep it are there; start the others", ErrUnavailable, there, of)
	}
	return nil
}

// Close waits for the appends under way, ends tails and watches, and shuts the
// server down. A function that a tail or a watch is calling must return for it
// to end.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return nil
	}
	l.closing = true
	l.mu.Unlock()

	l.out.drain()
	l.end(errClosed)
	l.readers.Wait()
	return l.stop()
}

// stop undoes as much of Open as was done.
func (l *Log) stop() error {
	l.end(errClosed)
	l.foreign.close()
	if l.conn != nil {
		l.conn.Close()
	}
	return l.server.stop()
}

// reading counts one tail or watch in, so that Close waits for it; done counts
// it out. The context it returns ends with ctx and when the log closes.
func (l *Log) reading(ctx context.Context) (_ context.Context, done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, nil, errClosed
	}
	l.readers.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(l.life, func() { cancel(errClosed) })
	return ctx, func() { unlink(); cancel(nil); l.readers.Done() }, nil
}

// ended returns why a context of reading is over: that the log closed, or what
// its parent says.
func ended(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, errClosed) || errors.Is(err, errCut) {
		return err
	}
	return ctx.Err()
}
