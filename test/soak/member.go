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

// A member is one client of a gateway. It reconnects when it has no connection, and resumes after
// the last event, unless it starts a new chain.
type member struct {
	s    *soak
	g    *gateway
	acks bool // ack each event
	done chan struct{}

	// Owned by the goroutine that runs the member.
	chain    *chain // nil: the next connection starts a chain
	position string // of the chain, to resume from

	mu       sync.Mutex
	conn     *client.Conn // nil while disconnected
	tcp      *net.TCPConn // the TCP connection of conn
	up       int          // number of connections so far
	ended    client.CloseCode
	newChain bool          // the chain ends with the connection
	away     chan struct{} // no connection is made before it is closed; nil: connect at any time
	paused   chan struct{} // nothing is read before it is closed; nil: read all
}

func newMember(s *soak, g *gateway, number int) *member {
	return &member{s: s, g: g, acks: number == 0, done: make(chan struct{})}
}

// noCode is the code of a connection that ended without a close frame from the server.
const noCode client.CloseCode = 0

// run reconnects until ctx ends or the gateway is removed.
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
			m.s.report(fmt.Errorf("%s cannot connect: %w", m.g.id, err))
		}
		// Real gateways reconnect without delay. A short delay keeps a refusal from becoming a
		// storm.
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

// wait waits until a channel is closed; it does not wait for nil.
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

// clientBuffer is the size of a member's event buffer, in bytes.
const clientBuffer = 64 << 10

// socketBuffer is the receive buffer of a member, in bytes. When a member stops reading, the server
// must keep what does not fit.
const socketBuffer = 32 << 10

// connect opens a connection.
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
		m.s.report(fmt.Errorf("the ack of %s does not resume from %s", m.g.id, m.position))
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
			m.s.report(fmt.Errorf("%s was disconnected for seconds and must resync: %s", m.g.id, r.Reason))
			m.position = r.Cursor // the ledger finds the missed events
			continue
		}
		c, err := event.ParseCursor(e.ID)
		if err != nil {
			return fmt.Errorf("event id %q: %w", e.ID, err)
		}
		m.chain.take(c.Seq)
		m.position = e.ID
		if m.acks {
			_ = conn.AckEvent(e.ID) // Next returns why the connection ended
		}
	}
}

func (m *member) deafness() chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused
}

// disconnected records the end of a connection.
func (m *member) disconnected(conn *client.Conn, why error) {
	_ = conn.Close() // the connection or ctx has ended
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
	if m.newChain || m.g.isRemoved() {
		m.chain.retire()
		m.chain, m.position, m.newChain = nil, "", false
	}
}

// connection returns the connection, or nil, and its number.
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

// lastCode returns the close code of the previous connection.
func (m *member) lastCode() client.CloseCode {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// back waits for a connection with a higher number.
func (m *member) back(ctx context.Context, number int) error {
	return await(ctx, m.g.id+" is back", func() bool {
		conn, n := m.connection()
		return conn != nil && n > number
	})
}

// leave closes the connection normally. With newChain it also ends the chain.
func (m *member) leave(newChain bool) {
	m.mu.Lock()
	conn := m.conn
	m.newChain = newChain && conn != nil
	m.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // always returns nil
	}
}

// reset resets the connection, as a crashing process does. With newChain it also ends the chain.
func (m *member) reset(newChain bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tcp == nil {
		return
	}
	m.newChain = newChain
	_ = m.tcp.SetLinger(0) // fails if the connection is closed
	_ = m.tcp.Close()
}

// keepAway disables connecting until comeBack is called.
func (m *member) keepAway() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = make(chan struct{})
}

// comeBack enables connecting again.
func (m *member) comeBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away != nil {
		close(m.away)
		m.away = nil
	}
}

// stopReading makes the member stop reading until resumeReading is called.
func (m *member) stopReading() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = make(chan struct{})
}

// resumeReading makes the member read again.
func (m *member) resumeReading() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tcp != nil {
		_ = m.tcp.SetReadBuffer(1 << 20) // it has many events to read
	}
	close(m.paused)
	m.paused = nil
}
