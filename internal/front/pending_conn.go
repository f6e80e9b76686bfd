// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A pendingConn is a connection that was accepted and not handed over yet.
type pendingConn struct {
	conn     net.Conn
	accepted time.Time
	state    atomic.Int32 // a pending state
}

// Pending states.
const (
	// statePeer: waiting for the peer to finish its handshake and its request. The
	// connection's goroutine changes it to stateServer, the accepting goroutine to
	// stateEvicted. The first of them wins.
	statePeer = iota
	// stateServer: the request is complete; the node works on it.
	stateServer
	// stateEvicted: closed to free its handshake slot.
	stateEvicted
)

// resultEvicted is the metric label of an evicted connection.
const resultEvicted = "overtaken"

// requestComplete records that the peer has sent its request. It reports false when the
// connection was evicted before.
func (p *pendingConn) requestComplete() bool {
	return p.state.CompareAndSwap(statePeer, stateServer)
}

// result returns the metric label of a connection that ends before its request is
// complete: otherwise, unless it was evicted.
func (p *pendingConn) result(otherwise string) string {
	if p.state.Load() == stateEvicted {
		return resultEvicted
	}
	return otherwise
}

const (
	// evictAfter is the age at which a pending connection can be evicted, while others
	// wait for its slot.
	evictAfter = time.Second
	// evictInterval is the pause between two evictions, in which the slot of the first
	// becomes free.
	evictInterval = 50 * time.Millisecond
)

// acquireSlot waits for a handshake slot. While all slots are in use it evicts the oldest
// pending connections. So slow peers cannot block others for longer than evictAfter,
// however many they are.
func (f *Front) acquireSlot() {
	select {
	case f.slots <- struct{}{}:
		return
	default:
	}
	for {
		retry := time.NewTimer(f.evictOldest(time.Now()))
		select {
		case f.slots <- struct{}{}:
			retry.Stop()
			return
		case <-retry.C:
		}
	}
}

// evictOldest closes the oldest connection that waits for its peer, if it is older than
// evictAfter. It returns the time until the next call.
func (f *Front) evictOldest(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest *pendingConn
	for p := range f.pending {
		if p.state.Load() == statePeer && (oldest == nil || p.accepted.Before(oldest.accepted)) {
			oldest = p
		}
	}
	if oldest == nil {
		return evictInterval
	}
	if age := now.Sub(oldest.accepted); age < evictAfter {
		return evictAfter - age
	}
	if oldest.state.CompareAndSwap(statePeer, stateEvicted) {
		_ = oldest.conn.Close()
	}
	return evictInterval
}

// addPending registers a connection that has a slot. removePending ends that.
func (f *Front) addPending(nc net.Conn) *pendingConn {
	p := &pendingConn{conn: nc, accepted: time.Now()}
	f.cfg.Node.HandshakesInFlight.Inc()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending[p] = struct{}{}
	return p
}

// removePending removes a connection and frees its slot.
func (f *Front) removePending(p *pendingConn) {
	f.mu.Lock()
	delete(f.pending, p)
	f.mu.Unlock()
	f.cfg.Node.HandshakesInFlight.Dec()
	<-f.slots
}

// recoverPanic is deferred: a panic about one connection ends only that connection.
func (f *Front) recoverPanic(p *pendingConn) {
	if v := recover(); v != nil {
		reportPanic(f.cfg, p.conn.RemoteAddr().String(), v)
		f.cfg.Node.ConnectsTotal.WithLabelValues("internal_error").Inc()
		_ = p.conn.Close() // it is possibly closed already
	}
}

// reportPanic counts and logs a recovered panic.
func reportPanic(cfg Config, remote string, v any) {
	cfg.Node.Panics.WithLabelValues("gateways").Inc()
	cfg.Logger.Error("internal error: a connection's handler panicked", "remote", remote,
		"panic", v, "stack", string(debug.Stack()))
}
