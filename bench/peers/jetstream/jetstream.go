// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package jetstream measures an embedded JetStream alone, with the settings of gatecast's event
// log. The result is an upper bound for bulk publishing with gatecast.
package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config configures [Rate].
type Config struct {
	Folder     string // for the store; empty; the caller removes it
	Events     int
	EventBytes int
	Subjects   int // subjects of the events, in turn
}

// The stream has the default settings of serve.
const (
	streamName    = "gatecast_events"
	subjectPrefix = "gatecast.event.gateway."
	unlimited     = 1 << 62
	maxPayload    = 1<<20 + 68<<10
	syncInterval  = 2 * time.Second
	retention     = 24 * time.Hour
	retainBytes   = 1 << 30
)

const (
	// window is the maximum number of events without an ack. The stream refuses more than 10,000,
	// and more than this is not faster.
	window = 8192
	// Maximum number of events on their way to the consumer, as in gatecast's event log.
	consumeEvents = 4096
	consumeBytes  = 8 << 20
)

// Rate publishes the events and consumes them at the same time. It returns the rate per second,
// until the last event was acked and consumed.
func Rate(ctx context.Context, c Config) (float64, error) {
	srv, err := start(c.Folder)
	if err != nil {
		return 0, err
	}
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return 0, err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"gatecast.event.>"},
		Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxAge: retention, MaxBytes: retainBytes,
	}); err != nil {
		return 0, err
	}
	consumed, stop, err := consume(ctx, js, c.Events)
	if err != nil {
		return 0, err
	}
	defer stop()
	return publish(ctx, conn, c, consumed)
}

func start(folder string) (*server.Server, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "gatecast", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, DisableJetStreamBanner: true,
		JetStreamMaxMemory: unlimited, JetStreamMaxStore: unlimited,
		StoreDir: folder, SyncInterval: syncInterval, MaxPayload: maxPayload,
	})
	if err != nil {
		return nil, err
	}
	srv.Start()
	if !srv.ReadyForConnections(10*time.Second) || !srv.JetStreamEnabled() {
		srv.Shutdown()
		return nil, errors.New("the server did not start")
	}
	return srv, nil
}

// consume reads the stream with an ordered consumer. It closes the returned channel after n events.
func consume(ctx context.Context, js jetstream.JetStream, n int) (<-chan struct{}, func(), error) {
	consumer, err := js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	got := 0 // only one goroutine calls the callback
	c, err := consumer.Consume(func(jetstream.Msg) {
		if got++; got == n {
			close(done)
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(consumeEvents, consumeBytes))
	if err != nil {
		return nil, nil, err
	}
	return done, c.Stop, nil
}

// An acker counts the stream's acks. They all go to one subject: their order does not matter, as
// long as none is an error.
type acker struct {
	want    int
	got     int           // owned by the connection's callback goroutine
	room    chan struct{} // half a window has been acked
	done    chan struct{} // closed when all is acked
	refused chan error    // holds the first refusal
}

func newAcker(want int) *acker {
	return &acker{
		want: want, done: make(chan struct{}), refused: make(chan error, 1),
		room: make(chan struct{}, 2*want/window+1), // nobody waits for the last ones
	}
}

func (a *acker) onAck(m *nats.Msg) {
	if !bytes.HasPrefix(m.Data, []byte(`{"stream":`)) {
		select {
		case a.refused <- fmt.Errorf("the stream answered %q", m.Data):
		default:
		}
		return
	}
	a.got++
	if a.got%(window/2) == 0 {
		a.room <- struct{}{}
	}
	if a.got == a.want {
		close(a.done)
	}
}

// wait waits for c, which is room, done or another channel.
func (a *acker) wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case err := <-a.refused:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publish publishes and returns the rate. It matches acks itself, as gatecast's log does, because
// PublishAsync of package jetstream is slower.
func publish(ctx context.Context, conn *nats.Conn, c Config, consumed <-chan struct{}) (float64, error) {
	a := newAcker(c.Events)
	inbox := nats.NewInbox()
	if _, err := conn.Subscribe(inbox, a.onAck); err != nil {
		return 0, err
	}
	subjects := make([]string, c.Subjects)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("%s%d", subjectPrefix, i)
	}
	body := bytes.Repeat([]byte("x"), c.EventBytes)
	begin := time.Now()
	for i := range c.Events {
		if i >= window && i%(window/2) == 0 {
			if err := a.wait(ctx, a.room); err != nil {
				return 0, err
			}
		}
		if err := conn.PublishRequest(subjects[i%len(subjects)], inbox, body); err != nil {
			return 0, err
		}
	}
	for _, c := range []<-chan struct{}{a.done, consumed} {
		if err := a.wait(ctx, c); err != nil {
			return 0, err
		}
	}
	return float64(c.Events) / time.Since(begin).Seconds(), nil
}
