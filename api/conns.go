// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// A connSet holds the connections of a listener, so that Shutdown can end those
// that fasthttp's own would wait for: new ones that have sent nothing, which it
// counts as busy for five seconds, and bulk publishes, which have no end.
type connSet struct {
	mu    sync.Mutex
	conns map[net.Conn]connState
}

type connState struct {
	state     fasthttp.ConnState
	streaming bool // newline-delimited JSON is being read from it
}

// changed is the server's ConnState hook.
func (s *connSet) changed(c net.Conn, state fasthttp.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == fasthttp.StateClosed || state == fasthttp.StateHijacked {
		delete(s.conns, c)
		return
	}
	if s.conns == nil {
		s.conns = make(map[net.Conn]connState)
	}
	s.conns[c] = connState{state: state}
}

// stream marks c as one that newline-delimited JSON is read from, until its
// state changes.
func (s *connSet) stream(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.conns[c]; ok {
		st.streaming = true
		s.conns[c] = st
	}
}

// drain closes the connections that have sent nothing, and gives bulk publishes
// until the deadline.
func (s *connSet) drain(deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, st := range s.conns {
		switch {
		case st.state == fasthttp.StateNew:
			_ = c.Close()
		case st.streaming:
			_ = c.SetReadDeadline(deadline)
		}
	}
}

func (s *connSet) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}
