// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

const (
	// followBatch is how many messages are in flight to a reader of a bucket or a journal.
	followBatch = 4096
	// heartbeat is the interval of heartbeats of the embedded server to a reader. After
	// two missing heartbeats the reader starts again.
	heartbeat = 5 * time.Second
)

// heartbeat returns the interval of heartbeats to a reader. Only a cluster can lose a server.
func (s *Store) heartbeat() time.Duration {
	if s.Shared() {
		return clusterHeartbeat
	}
	return heartbeat
}

// Follow implements [storage.Stream].
func (s *stream) Follow(ctx context.Context, r storage.Range, begun func(pending uint64), f func(storage.Message) error) error {
	return s.store.follow(ctx, s.name, consumerConfig(r), begun, f)
}

// follow reads with a plain consumer, which ends at any irregularity. The client library's
// watchers and ordered consumers continue by themselves, but notice a problem late, and do
// not report that they are late.
func (s *Store) follow(ctx context.Context, stream string, cfg jetstream.ConsumerConfig, begun func(pending uint64), f func(storage.Message) error) error {
	c, err := s.js.CreateConsumer(ctx, stream, cfg)
	if err != nil {
		return err
	}
	defer func() {
		// Without a connection the request would wait for its timeout, and the reader with it.
		if !s.conn.IsConnected() {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTry)
		defer cancel()
		_ = s.js.DeleteConsumer(ctx, stream, c.CachedInfo().Name)
	}()
	messages, err := c.Messages(jetstream.PullMaxMessages(followBatch), jetstream.PullHeartbeat(s.heartbeat()))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	begun(c.CachedInfo().NumPending)
	// A consumer numbers what it delivers. A gap means that a message was lost on the way.
	for next := uint64(1); ; next++ {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		switch {
		case err != nil:
			return err
		case meta.Sequence.Consumer != next:
			return fmt.Errorf("message %d arrived instead of %d", meta.Sequence.Consumer, next)
		}
		if err := f(delivered(m, meta)); err != nil {
			return err
		}
	}
}

// delivered converts a message of a consumer.
func delivered(m jetstream.Msg, meta *jetstream.MsgMetadata) storage.Message {
	return storage.Message{
		Subject: m.Subject(), Header: storage.Header(m.Headers()), Data: m.Data(),
		Seq: meta.Sequence.Stream, Time: meta.Timestamp, Pending: meta.NumPending,
	}
}

var errScanEnded = errors.New("the server ended the consumer")

// Scan implements [storage.Stream] with an ordered consumer, which starts again by itself when
// it loses a message or its connection. Its callback form was measured to be the fastest.
func (s *stream) Scan(ctx context.Context, scan storage.Scan) error {
	consumer, err := s.store.js.OrderedConsumer(ctx, s.name, jetstream.OrderedConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       scan.After + 1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	// Without this the server would send every new event to the consumer for another minute.
	remove := func() { _ = s.store.js.DeleteConsumer(ctx, s.name, consumer.CachedInfo().Name) }
	if !scan.Pending(consumer.CachedInfo().NumPending) {
		remove()
		return nil
	}
	c, err := consumer.Consume(
		func(m jetstream.Msg) {
			meta, err := m.Metadata()
			if err != nil {
				s.store.cfg.Logger.Error("event log: a message of the stream has no sequence; skipping it", "err", err)
				return
			}
			scan.Message(delivered(m, meta))
		},
		jetstream.PullMaxMessagesWithBytesLimit(scan.Messages, max(scan.Bytes, 2*(s.store.cfg.MaxEventBytes+headroom))),
		jetstream.PullHeartbeat(s.store.heartbeat()),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if !errors.Is(err, jetstream.ErrConnectionClosed) { // the log is closing
				scan.Recovered(err)
			}
		}),
	)
	if err != nil {
		return err
	}
	defer c.Stop()
	scan.Begun()
	select {
	case <-scan.Abort:
		return nil
	case <-scan.Done:
		c.Stop() // first, or it would start again when it finds its consumer deleted
		remove()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.Closed():
		return errScanEnded
	}
}
