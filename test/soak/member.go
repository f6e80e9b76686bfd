// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/internal/event"
)

// A member is one client of a gateway: it connects whenever it has no connection,
// and goes on from the last event it got unless it is told to begin anew.
type member struct {
	s    *soak
	g    *gateway
	acks bool // it acks what it receives
	done chan struct{}

	// Of the goroutine that runs the member.
	chain    *chain // nil: the next connection begins one
	position string // of the chain, for the server

	mu    sync.Mutex
	conn  *client.Conn // nil while there is none
	tcp   *net.TCPConn // under conn
	up    int          // connections so far
	ended client.CloseCode
	anew  bool          // the chain ends with the connection
	away  chan struct{} // no connection is made until it is closed; nil: at any time
	deaf  chan struct{} // nothing is read until it is closed; nil: all is
}

func newMember(s *soak, g *gateway, number int) *member {
	return &member{s: s, g: g, acks: number == 0, done: make(chan struct{})}
}

// noCode says that a connection ended without a close code of the server's.
const noCode client.CloseCode = 0

// run connects until ctx ends, or the gateway is no more.
func (m *member) run(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil && !m.g.isRemoved() {
		if wait(ctx, m.stayAway()) != nil {
			return
		}
		conn, err := m.connect(ctx)
		switch {
		case err == nil:
			m.disconnected(conn, m.receive(ctx, conn))
		case ctx.Err() == nil:
			m.s.tell(fmt.Errorf("%s cannot connect: %w", m.g.id, err))
		}
		// Real gateways come back without delay; a little keeps a refusal from
		// becoming a storm.
		if pause(ctx, time.Duration(5+rand.IntN(50))*time.Millisecond) != nil {
			return
		}
	}
}

// gone reports whether the member has ended.
func (m *member) gone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// wait waits for a channel to be closed, if there is one.
func wait(ctx context.Context, closed <-chan struct{}) error {
	if closed == nil {
		return nil
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *member) stayAway() chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.away
}

// clientBuffer is what a member holds of events that it has not taken, in bytes.
const clientBuffer = 64 << 10

// socketBuffer is a member's receive buffer: what a deaf one takes before the
// server has to keep the rest.
const socketBuffer = 32 << 10

// connect makes a connection.
func (m *member) connect(ctx context.Context) (*client.Conn, error) {
	var tcp *net.TCPConn
	conn, err := client.Dial(ctx, client.Config{
		URL: "wss://" + m.s.target.Gateways, TLS: m.s.target.TLS,
		Token: m.g.currentToken(), Since: m.position, Buffer: clientBuffer,
		NetDial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			tcp = c.(*net.TCPConn)
			return tcp, tcp.SetReadBuffer(socketBuffer)
		},
	})
	if err != nil {
		return nil, err
	}
	ack := conn.Accepted()
	cursor, err := event.ParseCursor(ack.Cursor)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the ack's cursor is %q: %w", ack.Cursor, err)
	}
	switch {
	case m.chain == nil:
		m.chain = m.s.ledger.open(m.g.id, m.g.audiences(), cursor.Seq)
		m.position = ack.Cursor
	case ack.Resumed:
		m.s.resumed.Add(1)
	default:
		m.s.tell(fmt.Errorf("%s does not go on from %s, says its ack", m.g.id, m.position))
	}
	m.chain.note(fmt.Sprintf("%s at %d from %s, resumed %v", ack.ConnectionID, cursor.Seq, m.position, ack.Resumed))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn, m.tcp = conn, tcp
	m.up++
	return conn, nil
}

// receive takes events until the connection ends.
func (m *member) receive(ctx context.Context, conn *client.Conn) error {
	for {
		if err := wait(ctx, m.deafness()); err != nil {
			return err
		}
		e, err := conn.Next(ctx)
		if err != nil {
			return err
		}
		if r, ok := e.Resync(); ok {
			m.s.tell(fmt.Errorf("%s was away for seconds and is to resync: %s", m.g.id, r.Reason))
			m.position = r.Cursor // what it misses thereby the ledger finds
			continue
		}
		c, err := event.ParseCursor(e.ID)
		if err != nil {
			return fmt.Errorf("event id %q: %w", e.ID, err)
		}
		m.chain.take(c.Seq)
		m.position = e.ID
		if m.acks {
			_ = conn.AckEvent(e.ID) // Next says why the connection ended
		}
	}
}

func (m *member) deafness() chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.deaf
}

// disconnected notes the end of a connection.
func (m *member) disconnected(conn *client.Conn, why error) {
	_ = conn.Close() // it has ended, or ctx has
	code := noCode
	if closed, ok := errors.AsType[*client.CloseError](why); ok {
		code = closed.Code
	}
	m.chain.note(why.Error())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn, m.tcp = nil, nil
	m.ended = code
	m.s.count(code)
	if m.anew || m.g.isRemoved() {
		m.chain.retire()
		m.chain, m.position, m.anew = nil, "", false
	}
}

// connection returns the connection, nil if there is none, and its number.
func (m *member) connection() (*client.Conn, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conn, m.up
}

// online waits for a connection, and returns it and its number.
func (m *member) online(ctx context.Context) (conn *client.Conn, number int, err error) {
	err = await(ctx, m.g.id+" is connected", func() bool {
		conn, number = m.connection()
		return conn != nil
	})
	return conn, number, err
}

// connected reports whether there is a connection.
func (m *member) connected() bool {
	conn, _ := m.connection()
	return conn != nil
}

// lastCode returns how the connection before this one ended.
func (m *member) lastCode() client.CloseCode {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// back waits until there is a connection behind the one of a number.
func (m *member) back(ctx context.Context, number int) error {
	return await(ctx, m.g.id+" is back", func() bool {
		conn, n := m.connection()
		return conn != nil && n > number
	})
}

// leave ends the connection with a goodbye, and the chain with it if the next is
// to begin anew.
func (m *member) leave(anew bool) {
	m.mu.Lock()
	conn := m.conn
	m.anew = anew && conn != nil
	m.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // returns nothing else
	}
}

// vanish resets the connection, as a process that dies does.
func (m *member) vanish(anew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tcp == nil {
		return
	}
	m.anew = anew
	_ = m.tcp.SetLinger(0) // the peer may have closed it
	_ = m.tcp.Close()
}

// keepAway has the member make no connection until it is told to come back.
func (m *member) keepAway() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = make(chan struct{})
}

// comeBack ends keepAway, if it has not ended.
func (m *member) comeBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away != nil {
		close(m.away)
		m.away = nil
	}
}

// deafen has the member read nothing until it is told to listen.
func (m *member) deafen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deaf = make(chan struct{})
}

// listen ends deafen.
func (m *member) listen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tcp != nil {
		_ = m.tcp.SetReadBuffer(1 << 20) // it has much to catch up with
	}
	close(m.deaf)
	m.deaf = nil
}
