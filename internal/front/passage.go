// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A passage is one connection's way through the front.
type passage struct {
	conn     net.Conn
	accepted time.Time
	state    atomic.Int32 // one of the following
}

// What a passage waits for.
const (
	// reading: its peer, that is to finish its handshake and its request. Left
	// for answering by the passage's own goroutine, for overtaken by the one that
	// accepts; who comes second leaves it to the other.
	reading = iota
	// answering: this node.
	answering
	// overtaken: nothing. It was closed to make room.
	overtaken
)

// resultOvertaken is counted for a passage that was overtaken.
const resultOvertaken = "overtaken"

// heard says that the peer is done, and reports whether it was in time.
func (p *passage) heard() bool { return p.state.CompareAndSwap(reading, answering) }

// result returns what is counted for a passage that ends before its peer is done.
func (p *passage) result(otherwise string) string {
	if p.state.Load() == overtaken {
		return resultOvertaken
	}
	return otherwise
}

const (
	// patience is how long a peer may take for its handshake and its request
	// while others wait for a slot.
	patience = time.Second
	// overtakeEvery is how long the slot of an overtaken passage is waited for
	// before the next one is overtaken.
	overtakeEvery = 50 * time.Millisecond
)

// takeSlot waits for a slot. In a full house the slowest of the slow make room:
// however many peers dawdle, each slot is free again after patience.
func (f *Front) takeSlot() {
	select {
	case f.slots <- struct{}{}:
		return
	default:
	}
	for {
		again := time.NewTimer(f.overtake(time.Now()))
		select {
		case f.slots <- struct{}{}:
			again.Stop()
			return
		case <-again.C:
		}
	}
}

// overtake closes the connection whose peer has kept the house waiting longest, if
// that is beyond patience, and returns when to try again.
func (f *Front) overtake(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var slowest *passage
	for p := range f.underWay {
		if p.state.Load() == reading && (slowest == nil || p.accepted.Before(slowest.accepted)) {
			slowest = p
		}
	}
	if slowest == nil {
		return overtakeEvery
	}
	if age := now.Sub(slowest.accepted); age < patience {
		return patience - age
	}
	if slowest.state.CompareAndSwap(reading, overtaken) {
		_ = slowest.conn.Close()
	}
	return overtakeEvery
}

// begin and finish bracket a passage.
func (f *Front) begin(nc net.Conn) *passage {
	p := &passage{conn: nc, accepted: time.Now()}
	f.cfg.Node.HandshakesInFlight.Inc()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.underWay[p] = struct{}{}
	return p
}

func (f *Front) finish(p *passage) {
	f.mu.Lock()
	delete(f.underWay, p)
	f.mu.Unlock()
	f.cfg.Node.HandshakesInFlight.Dec()
	<-f.slots
}

// contain is deferred: a panic over one connection ends that connection alone.
func (f *Front) contain(p *passage) {
	if v := recover(); v != nil {
		panicked(f.cfg, p.conn.RemoteAddr().String(), v)
		f.cfg.Node.ConnectsTotal.WithLabelValues("internal_error").Inc()
		_ = p.conn.Close() // it may be closed
	}
}

// panicked counts and tells of a panic that was contained.
func panicked(cfg Config, remote string, v any) {
	cfg.Node.Panics.WithLabelValues("gateways").Inc()
	cfg.Logger.Error("internal error: a connection's handler panicked", "remote", remote,
		"panic", v, "stack", string(debug.Stack()))
}
