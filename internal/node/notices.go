// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"sync/atomic"

	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// maxNotices bounds what waits to be logged. More is dropped and counted: a loop
// never waits for a log.
const maxNotices = 16384

// A noticeLog writes what happens on the loops to the log, on a goroutine of its
// own.
type noticeLog struct {
	logger  *slog.Logger
	counts  *metrics.Node
	inbox   poller.Inbox[shard.Notice]
	waiting atomic.Int64
	dropped atomic.Int64
	wake    chan struct{} // has a token when the inbox was empty
	quit    chan struct{}
	ended   chan struct{}
}

func startNoticeLog(logger *slog.Logger, counts *metrics.Node) *noticeLog {
	l := &noticeLog{
		logger: logger, counts: counts,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// notify takes what happens on the loops: for the log, and failed deliveries for the
// record, which does not depend on whether the log keeps up. It never blocks.
func (n *Node) notify(notice shard.Notice) {
	if notice.Kind == shard.DeliveryFailed {
		n.recorder.Failed(notice)
	}
	n.notices.push(notice)
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
			"reason", n.Disconnect.String(), "lived", n.Duration.String(), "events", n.EventsSent,
		}
		if n.Detail != "" {
			args = append(args, "detail", n.Detail)
		}
		l.logger.Info("gateway disconnected", args...)
	case shard.DeliveryFailed:
		delivery.LogFailed(l.logger, delivery.FailedOf(&n))
	}
}
