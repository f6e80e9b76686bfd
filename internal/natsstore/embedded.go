// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/internal/natsstore/check"
)

const (
	// headroom is what a message can need besides its body: JetStream's limit of headers,
	// and room for the subject.
	headroom = 64<<10 + 4<<10

	// unlimited replaces the server's own limits of storage: by default it takes three
	// quarters of what is free at the start. The limits of the streams are those that count.
	unlimited = 1 << 62
)

// An embedded is a NATS server inside the process, which alone uses its folder.
type embedded struct {
	srv    *server.Server
	log    *serverLog
	dir    string
	folder *check.Folder // nil for a server in memory, whose dir is temporary
}

// startServer opens the folder and starts a server on it.
func startServer(cfg Config) (*embedded, error) {
	e := &embedded{dir: cfg.Dir, log: newServerLog(cfg.Logger)}
	var err error
	if cfg.InMemory { // the server wants a folder although it writes nothing there
		if e.dir, err = os.MkdirTemp("", "gatecast-log-"); err != nil {
			return nil, fmt.Errorf("event log: make a temporary folder: %w", err)
		}
	} else if e.folder, err = check.Open(check.Config{
		Dir: cfg.Dir, Sentinel: cfg.Sentinel, SyncAlways: cfg.SyncAlways, Repair: cfg.Repair, Logger: cfg.Logger,
	}); err != nil {
		return nil, err
	}
	if err := e.run(cfg); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

// syncInterval is how often writes are synced, unless every write is. JetStream's default is
// two minutes.
const syncInterval = 2 * time.Second

// run starts the server. It returns when the server has read its streams and accepts
// connections.
func (e *embedded) run(cfg Config) error {
	srv, err := server.NewServer(&server.Options{
		ServerName:             "gatecast",
		DontListen:             true, // the only connection is a pipe inside the process
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
		return fmt.Errorf("event log: the embedded server did not start%s", e.lastError())
	}
	return nil
}

func (e *embedded) String() string { return "the embedded NATS server" }

func (e *embedded) address() (url string, options []nats.Option) {
	return "", []nats.Option{nats.InProcessServer(e.srv), nats.Name("gatecast"), nats.ReconnectWait(100 * time.Millisecond)}
}

func (e *embedded) unreachable(err error) error {
	return fmt.Errorf("event log: connect to %s: %w%s", e, err, e.lastError())
}

func (e *embedded) shared() bool { return false }

// recovered checks that the server has every stream that is in the folder. It skips a stream
// that it cannot read, and a new, empty stream would take its place.
func (e *embedded) recovered(ctx context.Context, js jetstream.JetStream) error {
	for _, name := range e.folder.Streams() {
		if _, err := js.Stream(ctx, name); err != nil {
			return fmt.Errorf("event log: the store in %s is damaged: stream %s could not be read%s; restore the folder from a backup, or move it away to start with an empty log",
				e.dir, name, e.lastError())
		}
	}
	return nil
}

func (e *embedded) lastError() string {
	if last := e.log.lastLine(); last != "" {
		return " (" + last + ")"
	}
	return ""
}

// health returns what the server reports as wrong with the stream of events. After a failed
// write JetStream takes no more writes until it is restarted.
func (e *embedded) health() error {
	want := &server.HealthzOptions{Account: server.DEFAULT_GLOBAL_ACCOUNT, Stream: storage.EventsStream}
	if e.folder == nil {
		want = &server.HealthzOptions{JSEnabledOnly: true} // the other checks look for files
	}
	if problem := e.healthz(want); problem != "" {
		return fmt.Errorf("%w: %s; check the disk, then restart", storage.ErrUnavailable, problem)
	}
	return nil
}

// healthz returns what the server reports as wrong, "" for nothing. It asks again when the
// server is not ready for connections: the server gives itself one millisecond to find that
// out, and on a busy machine a goroutine can wait longer than that.
func (e *embedded) healthz(options *server.HealthzOptions) (problem string) {
	for range 5 {
		problem = e.srv.Healthz(options).Error
		if !strings.Contains(problem, "ready for connections") {
			break
		}
	}
	return problem
}

// stop shuts the server down, waits for it and unlocks the folder. The server is asked for its
// health before: if a write has failed, the folder must not be recorded as closed in order.
func (e *embedded) stop() error {
	whole := false // everything that was written is in the files
	if e.srv != nil {
		whole = e.srv.JetStreamEnabled() && e.healthz(new(server.HealthzOptions)) == ""
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}
	if e.folder == nil {
		return os.RemoveAll(e.dir)
	}
	return e.folder.Close(whole)
}
