// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// A connSet holds a server's listeners and connections, for what fasthttp's own
// Shutdown does not do: it misses a listener that Serve is only about to take
// up; it waits five seconds for a connection that has sent nothing, and forever
// for a bulk publish, which need not end.
type connSet struct {
	mu        sync.Mutex
	draining  bool
	listeners []net.Listener
	conns     map[net.Conn]connState
	empty     chan struct{} // closed when there are none and drain was called; nil before
}

type connState struct {
	state     fasthttp.ConnState
	streaming bool // newline-delimited JSON is being read from it
}

// A onceListener may be closed again. Its Close is then no error.
type onceListener struct {
	net.Listener
	once sync.Once
}

func (l *onceListener) Close() (err error) {
	l.once.Do(func() { err = l.Listener.Close() })
	return err
}

// listen adds a listener, and reports whether it came before drain.
func (s *connSet) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, ln)
	return !s.draining
}

// changed is the server's ConnState hook.
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

// stream marks c as one that newline-delimited JSON is read from, until its
// state changes.
func (s *connSet) markStreaming(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.conns[c]; ok {
		st.streaming = true
		s.conns[c] = st
	}
}

// drain closes the listeners and the connections that have sent nothing, and
// gives bulk publishes until the deadline.
func (s *connSet) drain(deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining, s.empty = true, make(chan struct{})
	}
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
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

// noteEmpty is called with mu held.
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

// closeAll closes the connections that are left after drain, and waits for their
// handlers, up to patience: what they use is about to end.
func (s *connSet) closeAll(patience time.Duration) {
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	empty := s.empty
	s.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-empty:
	case <-late.C:
	}
}
