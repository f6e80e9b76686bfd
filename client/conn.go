// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gatecast/gatecast/frame"
)

const (
	writeTimeout = 10 * time.Second // of a pong or a close frame
	closeWait    = 2 * time.Second  // for the server's answer to a close frame
	readSize     = 16 << 10         // bytes of one read
)

// A Conn is one connection to the server. Its methods may be called by several
// goroutines at once.
//
// A goroutine of its own reads it, and answers pings whether or not anyone calls
// [Conn.Next].
type Conn struct {
	conn    net.Conn
	silence time.Duration
	limit   int // bytes of one message
	ack     Ack
	queue   *queue
	done    chan struct{} // closed when the reading goroutine has ended

	// Of the goroutine that dials, then of the one that reads.
	decoder frame.Decoder
	buf     []byte
	rest    []byte // read and not yet decoded

	closing sync.Once

	mu        sync.Mutex // held while writing
	closeSent bool       // nothing may follow a close frame
}

// newConn returns the Conn of an upgraded connection. early is what the server
// sent behind its response.
func newConn(conn net.Conn, early []byte, cfg Config) *Conn {
	return &Conn{
		conn:    conn,
		silence: cfg.Silence,
		limit:   cfg.ReadLimit,
		queue:   newQueue(cfg.Buffer),
		done:    make(chan struct{}),
		decoder: frame.Decoder{FromServer: true},
		buf:     make([]byte, readSize),
		rest:    early,
	}
}

// Accepted returns what the server said when it took the connection.
func (c *Conn) Accepted() Ack { return c.ack }

// Next returns the next event, or another message of the server's, which has no
// id: see [Event.Resync]. When the connection has ended and no event is
// left, it returns why: a [*CloseError] if the server closed it, [net.ErrClosed]
// if [Conn.Close] did, and otherwise what went wrong. When ctx ends it returns
// the cause of that, and the connection goes on.
func (c *Conn) Next(ctx context.Context) (Event, error) { return c.queue.take(ctx) }

// Close says goodbye to the server and closes the connection. Events that were
// not taken are dropped. It returns when nothing of the connection is left
// running.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		c.queue.stop(net.ErrClosed)
		_ = c.writeClose(frame.CloseNormal, "") // the connection may have ended before
		answered := time.NewTimer(closeWait)
		defer answered.Stop()
		select {
		case <-c.done:
		case <-answered.C:
		}
		_ = c.conn.Close()
	})
	<-c.done
	return nil
}

// run reads the connection to its end. It is the reading goroutine.
func (c *Conn) run() {
	defer close(c.done)
	err := c.receive()
	_ = c.conn.Close()
	c.queue.end(err)
}

// receive puts events into the queue until the connection ends, and returns why
// it did.
func (c *Conn) receive() error {
	for {
		text, err := c.nextText()
		if err != nil {
			return err
		}
		e, err := parseEvent(text)
		if err != nil {
			return c.refuse(frame.CloseInvalidData, err)
		}
		c.queue.put(e)
	}
}

// readAck reads the server's first message.
func (c *Conn) readAck() error {
	text, err := c.nextText()
	if err != nil {
		return err
	}
	if c.ack, err = parseAck(text); err != nil {
		return c.refuse(frame.ClosePolicyViolation, err)
	}
	return nil
}

// nextText returns the next text, which is valid until the next call. It sees to
// all other frames.
func (c *Conn) nextText() ([]byte, error) {
	for {
		m, err := c.nextMessage()
		if err != nil {
			return nil, err
		}
		switch m.Op {
		case frame.OpText:
			return m.Payload, nil
		case frame.OpBinary:
			return nil, c.refuse(frame.CloseUnsupportedData, errors.New("server sent a binary message"))
		case frame.OpPing:
			err = c.write(frame.OpPong, m.Payload)
			if errors.Is(err, net.ErrClosed) { // the server's goodbye is still to come
				err = nil
			}
		case frame.OpClose:
			code, reason := frame.ParseClose(m.Payload)
			_ = c.writeClose(code, "") // RFC 6455 section 5.5.1; the server may have gone already
			return nil, &CloseError{code, reason}
		}
		if err != nil {
			return nil, fmt.Errorf("connection lost: %w", err)
		}
	}
}

// nextMessage reads until a message or a control frame is complete.
func (c *Conn) nextMessage() (frame.Message, error) {
	for {
		m, n, err := c.decoder.Next(c.rest, c.limit)
		if e, ok := errors.AsType[*frame.Error](err); ok {
			return m, c.refuse(e.Code, fmt.Errorf("server broke the protocol: %w", err))
		}
		c.rest = c.rest[n:]
		if m.Op != 0 {
			return m, nil
		}
		if err := c.fill(); err != nil {
			return m, err
		}
	}
}

// fill reads once.
func (c *Conn) fill() error {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return fmt.Errorf("connection lost: %w", err)
	}
	n, err := c.conn.Read(c.buf)
	c.rest = c.buf[:n]
	switch {
	case n > 0 || err == nil: // an error comes again
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("connection lost: the server sent nothing for %v", c.silence)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // there was no close frame
	}
	return fmt.Errorf("connection lost: %w", err)
}

// refuse closes with a code for what the server did wrong, and returns that.
func (c *Conn) refuse(code frame.CloseCode, err error) error {
	_ = c.writeClose(code, err.Error()) // it is over in any case
	return err
}

func (c *Conn) writeClose(code frame.CloseCode, reason string) error {
	return c.write(frame.OpClose, frame.AppendCloseBody(nil, code, reason))
}

// write sends a frame, unless a close frame has been sent: then it returns
// [net.ErrClosed].
func (c *Conn) write(op frame.OpCode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent {
		return net.ErrClosed
	}
	c.closeSent = op == frame.OpClose
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(frame.AppendMasked(nil, op, payload, newMask()))
	return err
}

// newMask returns a mask that nobody can foresee (RFC 6455 section 5.3).
func newMask() (mask [4]byte) {
	_, _ = rand.Read(mask[:]) // never fails: it ends the process instead
	return mask
}
