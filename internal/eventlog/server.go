// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

const (
	// headroom is what a message may need besides its body: JetStream's bound on
	// headers, and room for the subject.
	headroom = 64<<10 + 4<<10

	// unlimited stands for the server's own bounds on storage. The streams'
	// bounds are the ones that count, and left to itself the server takes three
	// quarters of what is free at the start.
	unlimited = 1 << 62
)

// A host is where the log's streams are: a server inside the process, or a
// cluster that others use too.
type host interface {
	fmt.Stringer
	// address returns what to connect to, and how.
	address() (url string, options []nats.Option)
	// unreachable returns what to say when connecting failed.
	unreachable(err error) error
	// shared reports whether others append to the log.
	shared() bool
	// generation is what is added to the time a stream was made, for the epoch of what
	// stands in it without a marker: what versions before markers counted up.
	generation() uint64
	// trusts reports whether the lineage found in a stream can be that of all that stands
	// in it, up to a last sequence.
	trusts(stream string, found *Lineage, last uint64) bool
	// endLost reports whether the newest events may have been lost, by nobody's doing,
	// when the log was used last.
	endLost() bool
	// marked is told the lineage of a stream when an epoch has begun in it.
	marked(stream string, l *Lineage) error
	// recovered checks that what was kept before is there.
	recovered(ctx context.Context, js jetstream.JetStream) error
	// because returns what the server last complained of, to end an error with.
	because() string
	// health returns what is wrong with the stream of events, as far as the server
	// knows without being asked over the connection.
	health() error
	stop() error
}

// hostOf returns the host that a config asks for.
func hostOf(cfg Config) (host, error) {
	if cfg.URL != "" {
		return &cluster{url: cfg.URL, node: cfg.Node}, nil
	}
	e, err := startServer(cfg)
	if err != nil { // not a host that is nil inside
		return nil, err
	}
	return e, nil
}

// An embedded is a NATS server inside the process, alone on its folder.
type embedded struct {
	srv  *server.Server
	log  *bridge
	dir  string
	temp bool     // dir is ours to remove
	lock *os.File // holds the folder; nil for a temporary one
	life life     // of the folder; none of a temporary one
	// extents notes what the streams hold; nil of a temporary folder.
	extents *extents

	// streams are the names found in the store before the server started.
	streams []string
}

func startServer(cfg Config) (*embedded, error) {
	e := &embedded{dir: cfg.Dir, temp: cfg.InMemory, log: newBridge(cfg.Logger)}
	if err := e.takeDir(cfg); err != nil {
		return nil, err
	}
	if err := e.run(cfg); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

// takeDir makes the folder, locks it against other processes, and sees that what is
// in it is whole.
func (e *embedded) takeDir(cfg Config) error {
	if e.temp { // the server wants a folder though it puts nothing there
		var err error
		if e.dir, err = os.MkdirTemp("", "gatecast-log-"); err != nil {
			return fmt.Errorf("event log: make a temporary folder: %w", err)
		}
		return nil
	}
	if err := lostFolder(cfg); err != nil {
		return err
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("event log: cannot make its folder: %w; %s", err, remedy(err))
	}
	if err := os.Chmod(e.dir, 0o700); err != nil {
		return fmt.Errorf("event log: cannot keep its folder private: %w; %s", err, remedy(err))
	}
	lock, err := lockFile(filepath.Join(e.dir, "lock"))
	if err != nil {
		return err
	}
	e.lock = lock
	if err := e.begin(cfg); err != nil {
		e.extents.close()
		return errors.Join(err, lock.Close())
	}
	return nil
}

// begin sees that the store is whole, and begins the folder's next life.
func (e *embedded) begin(cfg Config) (err error) {
	boot := bootID()
	if err := mend(e.dir, boot, cfg.Repair, cfg.Logger); err != nil {
		return err
	}
	if e.streams, err = streamsIn(e.dir); err != nil {
		return err
	}
	l, err := readLife(e.dir)
	if err != nil {
		return err
	}
	known, _ := knownExtents(e.dir, l, boot)
	if e.extents, err = beginExtents(e.dir, known); err != nil {
		return err
	}
	if e.life, err = beginLife(e.dir, boot, cfg.SyncAlways); err != nil {
		return err
	}
	return mark(cfg) // not before there is something to miss
}

// checkpoint notes what the streams hold now, and now and then writes down what is
// surely on the disk by then. One goroutine calls it, until the log stops.
func (e *embedded) checkpoint(ctx context.Context, js jetstream.JetStream, now time.Time) error {
	e.extents.sample(ctx, js)
	due := e.extents.durable(now)
	if due == nil {
		return nil
	}
	e.life.Extents = due
	return e.life.save(e.dir)
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("event log: cannot write in its folder: %w; %s", err, remedy(err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("event log: %s is in use by another process; stop it, or choose another folder", filepath.Dir(path))
		}
		return nil, fmt.Errorf("event log: lock %s: %w", path, err)
	}
	return f, nil
}

// remedy says what to do when a folder cannot be used.
func remedy(err error) string {
	switch {
	case errors.Is(err, unix.EROFS):
		return "mount it writable, or choose another"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "free some space, or choose another"
	}
	return "choose another, or change its owner"
}

// streamsIn returns the names of the streams that stand in a store.
func streamsIn(dir string) ([]string, error) {
	found, err := os.ReadDir(streamsDir(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("event log: cannot read its folder: %w; %s", err, remedy(err))
	}
	var names []string
	for _, f := range found {
		if f.IsDir() && !strings.HasPrefix(f.Name(), ".") {
			names = append(names, f.Name())
		}
	}
	return names, nil
}

// syncInterval is how often what was appended is put on disk, unless every append
// is. JetStream's own default is two minutes.
const syncInterval = 2 * time.Second

func (e *embedded) run(cfg Config) error {
	srv, err := server.NewServer(&server.Options{
		ServerName:             "gatecast",
		DontListen:             true,
		NoSigs:                 true,
		NoLog:                  true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		JetStreamMaxMemory:     unlimited,
		JetStreamMaxStore:      unlimited,
		StoreDir:               e.dir,
		SyncAlways:             cfg.SyncAlways,
		SyncInterval:           syncInterval,
		MaxPayload:             int32(cfg.MaxEventBytes + headroom),
	})
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	e.srv = srv
	srv.SetLoggerV2(e.log, false, false, false)
	srv.Start() // returns when the streams are recovered
	if !srv.ReadyForConnections(10*time.Second) || !srv.JetStreamEnabled() {
		return fmt.Errorf("event log: the server inside did not start%s", e.because())
	}
	return nil
}

// String names the server to people.
func (e *embedded) String() string { return "the server inside" }

func (e *embedded) address() (url string, options []nats.Option) {
	return "", []nats.Option{nats.InProcessServer(e.srv), nats.Name("gatecast"), nats.ReconnectWait(100 * time.Millisecond)}
}

func (e *embedded) unreachable(err error) error {
	return fmt.Errorf("event log: connect to %s: %w%s", e, err, e.because())
}

func (e *embedded) shared() bool       { return false }
func (e *embedded) generation() uint64 { return e.life.Generation }

func (e *embedded) trusts(stream string, found *Lineage, last uint64) bool {
	return e.life.trusts(stream, found, last)
}

func (e *embedded) endLost() bool { return e.life.EndLost }

func (e *embedded) marked(stream string, l *Lineage) error {
	if e.temp {
		return nil
	}
	if e.life.Markers == nil {
		e.life.Markers = make(map[string]lifeMarker)
	}
	e.life.EndLost = e.life.EndLost && stream != streamName
	e.life.Markers[stream] = lifeMarker{formatEpoch(l.Epoch()), l.marker}
	return e.life.save(e.dir)
}

// recovered checks that every stream that stood in the store is there now. The
// server passes over one it cannot read, and a new one would take its place.
func (e *embedded) recovered(ctx context.Context, js jetstream.JetStream) error {
	for _, name := range e.streams {
		if _, err := js.Stream(ctx, name); err != nil {
			return fmt.Errorf("event log: the store in %s is damaged: stream %s could not be read%s; restore the folder from a backup, or move it away to begin anew",
				e.dir, name, e.because())
		}
	}
	return nil
}

// because returns the server's last complaint, to end an error with.
func (e *embedded) because() string {
	if last := e.log.last(); last != "" {
		return " (" + last + ")"
	}
	return ""
}

// health returns what the server says is wrong with the stream of events. After
// a failed write JetStream takes nothing more until it is started again.
func (e *embedded) health() error {
	want := &server.HealthzOptions{Account: server.DEFAULT_GLOBAL_ACCOUNT, Stream: streamName}
	if e.temp {
		want = &server.HealthzOptions{JSEnabledOnly: true} // the rest looks for files
	}
	if problem := e.healthz(want); problem != "" {
		return fmt.Errorf("%w: %s; see to the disk, then restart", ErrUnavailable, problem)
	}
	return nil
}

// healthz returns what the server says is wrong with it, "" for nothing. The server gives
// itself a millisecond to find that it is ready for connections, and on a busy machine a
// goroutine may not run for longer than that: so it is asked again.
func (e *embedded) healthz(options *server.HealthzOptions) (problem string) {
	for range 5 {
		problem = e.srv.Healthz(options).Error
		if !strings.Contains(problem, "ready for connections") {
			break
		}
	}
	return problem
}

// stop shuts the server down, waits for it and lets go of the folder.
func (e *embedded) stop() error {
	whole := false // what the streams wrote is in their files
	if e.srv != nil {
		whole = e.srv.JetStreamEnabled() && e.healthz(new(server.HealthzOptions)) == ""
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}
	if e.temp {
		return os.RemoveAll(e.dir)
	}
	var err error
	e.extents.close()
	if whole {
		e.life.Extents = e.extents.all()
		err = e.life.end(e.dir, e.lock)
	}
	return errors.Join(err, e.lock.Close())
}
