// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// A connSet holds the listeners and connections of a server. It does for
// Shutdown what fasthttp's own does not: close a listener that Serve has not
// registered with fasthttp yet; close connections that have sent nothing, for
// which fasthttp waits five seconds; and put a deadline on bulk publishes,
// which need not end.
type connSet struct {
	mu        sync.Mutex
	draining  bool
	listeners []net.Listener
	conns     map[net.Conn]connState
	empty     chan struct{} // made by drain, closed when no connection is left
}

// connState is what the set knows of one connection.
type connState struct {
	state     fasthttp.ConnState
	streaming bool // newline-delimited JSON is being read from it
}

// A onceListener can be closed more than once; only the first Close returns an
// error.
type onceListener struct {
	net.Listener
	once sync.Once
}

func (l *onceListener) Close() (err error) {
	l.once.Do(func() { err = l.Listener.Close() })
	return err
}

// listen adds a listener. It reports false after drain: do not serve it then.
func (s *connSet) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, ln)
	return !s.draining
}

// stateChanged is the ConnState hook of fasthttp.
func (s *connSet) stateChanged(c net.Conn, state fasthttp.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == fasthttp.StateClosed || state == fasthttp.StateHijacked {
		delete(s.conns, c)
		s.signalEmpty()
		return
	}
	if s.conns == nil {
		s.conns = make(map[net.Conn]connState)
	}
	s.conns[c] = connState{state: state}
}

// markStreaming marks c as a connection from which newline-delimited JSON is
// read, until its state changes.
func (s *connSet) markStreaming(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.conns[c]; ok {
		st.streaming = true
		s.conns[c] = st
	}
}

// drain closes the listeners and the connections that have sent nothing, and
// sets the read deadline of bulk publishes.
func (s *connSet) drain(deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining, s.empty = true, make(chan struct{})
	}
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
	// A connection in another state is idle or has a request in progress.
	// fasthttp closes idle ones, and waits for requests.
	for c, st := range s.conns {
		switch {
		case st.state == fasthttp.StateNew:
			_ = c.Close()
		case st.streaming:
			_ = c.SetReadDeadline(deadline)
		}
	}
	s.signalEmpty()
}

// signalEmpty closes empty if the set drains and no connection is left. mu is
// held.
func (s *connSet) signalEmpty() {
	if !s.draining || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// closeAll closes the connections that are left after drain. It waits for their
// handlers up to the timeout, because what they use is about to end.
func (s *connSet) closeAll(timeout time.Duration) {
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	empty := s.empty
	s.mu.Unlock()
	expired := time.NewTimer(timeout)
	defer expired.Stop()
	select {
	case <-empty:
	case <-expired.C:
	}
}
