// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package connlog writes what happens to connections to the node's log: gateways that
// connect and disconnect, and deliveries that fail. Loops never wait for the log.
package connlog

import (
	"log/slog"
	"sync/atomic"

	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
)

// maxPending bounds the notices that wait to be logged. More is dropped and counted.
const maxPending = 16384

// A Log logs notices. Any goroutine can call Push; one calls Stop.
type Log struct {
	logger    *slog.Logger
	onDropped func(lines int) // called by run

	inbox   poller.Inbox[shard.Notice]
	pending atomic.Int64  // notices in the inbox
	dropped atomic.Int64  // notices that were dropped since run last reported them
	wake    chan struct{} // capacity 1: the inbox was empty and is not
	quit    chan struct{} // closed when no more notices come
	ended   chan struct{} // closed when run has returned
}

// Start returns a Log and starts its goroutine. onDropped is called with a number of
// notices that were dropped because too many waited.
func Start(logger *slog.Logger, onDropped func(lines int)) *Log {
	l := &Log{
		logger: logger, onDropped: onDropped,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// Push takes a notice. It never blocks.
func (l *Log) Push(n shard.Notice) {
	if l.pending.Add(1) > maxPending {
		l.pending.Add(-1)
		l.dropped.Add(1)
		return
	}
	if l.inbox.Push(n) {
		select {
		case l.wake <- struct{}{}:
		default: // a wake-up is pending
		}
	}
}

// Stop writes everything that was pushed and ends the goroutine. No notice may be pushed
// after the call.
func (l *Log) Stop() {
	close(l.quit)
	<-l.ended
}

func (l *Log) run() {
	defer close(l.ended)
	var batch []shard.Notice
	for {
		batch = l.writeAll(batch[:0])
		if len(batch) > 0 {
			continue // more may have come meanwhile
		}
		select {
		case <-l.wake:
		case <-l.quit:
			l.writeAll(nil)
			return
		}
	}
}

// writeAll writes the inbox, and reports what was dropped. It returns the batch, cleared,
// for its memory to be reused.
func (l *Log) writeAll(batch []shard.Notice) []shard.Notice {
	batch = l.inbox.Take(batch)
	for i := range batch {
		l.write(&batch[i])
	}
	clear(batch)
	l.pending.Add(-int64(len(batch)))
	if n := l.dropped.Swap(0); n > 0 {
		l.onDropped(int(n))
		l.logger.Warn("too many log lines about connections; some were dropped", "dropped", n)
	}
	return batch
}

func (l *Log) write(n *shard.Notice) {
	switch n.Kind {
	case shard.Connected:
		l.logger.Info("gateway connected", connection(n)...)
	case shard.Disconnected:
		l.logger.Info("gateway disconnected", disconnection(n)...)
	case shard.DeliveryFailed:
		delivery.LogFailed(l.logger, delivery.FailedOf(n))
	}
}

// connection returns the attributes of a notice's connection.
func connection(n *shard.Notice) []any {
	return []any{"gateway", n.GatewayID, "connection", n.ConnectionID, "remote", n.Remote}
}

// disconnection returns the attributes of a connection that ended.
func disconnection(n *shard.Notice) []any {
	args := append(connection(n), "reason", n.Disconnect.String(), "lived", n.Duration.String(), "events", n.EventsSent)
	if n.Detail != "" {
		args = append(args, "detail", n.Detail)
	}
	return args
}
