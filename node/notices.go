// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"sync/atomic"

	"gatecast/event"
	"gatecast/poller"
	"gatecast/shard"
	"gatecast/stats"
)

// maxNotices bounds what waits to be logged. More is dropped and counted: a loop
// never waits for a log.
const maxNotices = 16384

// A noticeLog writes what happens on the loops to the log, on a goroutine of its
// own.
type noticeLog struct {
	logger  *slog.Logger
	counts  *stats.Node
	record  *recorder
	inbox   poller.Inbox[shard.Notice]
	waiting atomic.Int64
	dropped atomic.Int64
	wake    chan struct{} // has a token when the inbox was empty
	quit    chan struct{}
	ended   chan struct{}
}

func startNoticeLog(logger *slog.Logger, counts *stats.Node, record *recorder) *noticeLog {
	l := &noticeLog{
		logger: logger, counts: counts, record: record,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// push takes a notice. It never blocks.
func (l *noticeLog) push(n shard.Notice) {
	if l.waiting.Add(1) > maxNotices {
		l.waiting.Add(-1)
		l.dropped.Add(1)
		return
	}
	if l.inbox.Push(n) {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (l *noticeLog) run() {
	defer close(l.ended)
	var batch []shard.Notice
	for {
		batch = l.inbox.Take(batch[:0])
		for _, n := range batch {
			l.write(n)
		}
		clear(batch)
		l.waiting.Add(-int64(len(batch)))
		if d := l.dropped.Swap(0); d > 0 {
			l.counts.LogLinesDropped.Add(float64(d))
			l.logger.Warn("more happened than could be logged", "dropped", d)
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-l.wake:
		case <-l.quit:
			return
		}
	}
}

// stop ends the log when everything pushed is written. Nothing may be pushed any
// more.
func (l *noticeLog) stop() {
	close(l.quit)
	<-l.ended
	for _, n := range l.inbox.Take(nil) {
		l.write(n)
	}
}

func (l *noticeLog) write(n shard.Notice) {
	switch n.Kind {
	case shard.Connected:
		l.logger.Info("gateway connected", "gateway", n.GatewayID, "connection", n.ConnectionID, "remote", n.Remote)
	case shard.Disconnected:
		args := []any{
			"gateway", n.GatewayID, "connection", n.ConnectionID, "remote", n.Remote,
			"reason", n.Disconnect.String(), "lived", n.Lived.String(), "events", n.EventsSent,
		}
		if n.Detail != "" {
			args = append(args, "detail", n.Detail)
		}
		l.logger.Info("gateway disconnected", args...)
	case shard.Failed:
		failed := make([]failedDelivery, 0, len(n.Messages))
		for _, m := range n.Messages {
			head := event.ReadHead(m.Body)
			failed = append(failed, newFailed(n.At, m.Cursor, head.Type, head.CorrelationID, n.GatewayID, n.Failure))
		}
		logFailed(l.logger, failed)
		l.record.fail(failed)
	}
}

func logFailed(logger *slog.Logger, failed []failedDelivery) {
	for i := range failed {
		f := &failed[i]
		logger.Error("delivery failed", "gateway", f.GatewayID, "reason", f.Reason,
			"event", f.EventID, "type", f.Type, "correlationId", f.CorrelationID)
	}
}
