// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// consumeBatch is how many messages are on their way to a reader of a bucket or a
// journal.
const consumeBatch = 4096

// consume calls f with what a stream has for a consumer and then with what it gets,
// until f returns an error, which consume returns. First it calls begun with how many
// messages were there already.
//
// It is a plain consumer, and any irregularity ends it, so that the caller knows and
// begins again. Nats.go's own watchers and ordered consumers go on by themselves, but
// find out late and do not say that they are behind.
func (l *Log) consume(ctx context.Context, stream string, cfg jetstream.ConsumerConfig, begun func(pending uint64), f func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	cfg.AckPolicy = jetstream.AckNonePolicy
	cfg.MemoryStorage, cfg.Replicas = true, 1
	cfg.InactiveThreshold = time.Minute
	c, err := l.js.CreateConsumer(ctx, stream, cfg)
	if err != nil {
		return err
	}
	defer func() { // one that cannot be deleted goes by itself
		if !l.conn.IsConnected() {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTry)
		defer cancel()
		_ = l.js.DeleteConsumer(ctx, stream, c.CachedInfo().Name)
	}()
	messages, err := c.Messages(jetstream.PullMaxMessages(consumeBatch), jetstream.PullHeartbeat(l.heartbeat()))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	begun(c.CachedInfo().NumPending)
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
			return fmt.Errorf("message %d came in place of %d", meta.Sequence.Consumer, next)
		}
		if err := f(m, meta); err != nil {
			return err
		}
	}
}

// heartbeat is how often the server says that a reader has missed nothing; after twice
// that the reader looks for another.
func (l *Log) heartbeat() time.Duration {
	if l.server.shared() {
		return clusterHeartbeat
	}
	return replayHeartbeat
}
