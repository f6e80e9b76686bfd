// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const (
	writeTimeout = 10 * time.Second // of a pong or a close frame
	closeWait    = 2 * time.Second  // for the server's answer to a close frame
)

// A Conn is one connection to the server. Goroutines can share it.
//
// A goroutine of its own reads the connection, and answers pings also while nobody calls
// [Conn.Next].
type Conn struct {
	// Constant after Dial.
	conn  net.Conn
	ack   Ack
	queue *queue
	done  chan struct{} // closed when the reading goroutine has ended

	// Owned by Dial, then by the reading goroutine.
	frames *frameReader

	closing sync.Once

	mu        sync.Mutex // held while writing; guards closeSent
	closeSent bool       // no frame follows a close frame (RFC 6455 section 5.5.1)
}

// newConn returns the Conn of an upgraded connection. early holds the bytes that the server sent
// directly after its response.
func newConn(conn net.Conn, early []byte, cfg Config) *Conn {
	in := io.MultiReader(bytes.NewReader(early), silenceReader{conn, cfg.Silence})
	return &Conn{
		conn:   conn,
		queue:  newQueue(cfg.Buffer),
		done:   make(chan struct{}),
		frames: newFrameReader(in, cfg.ReadLimit),
	}
}

// Accepted returns the server's ack.
func (c *Conn) Accepted() Ack { return c.ack }

// Next waits for the next message of the server and returns it: an event, or a message without an
// id, such as a [Resync] (see [Event.Resync]). After the last message of a connection that has
// ended, the error is a [*CloseError] if the server closed it, [net.ErrClosed] after [Conn.Close],
// and otherwise describes the failure. If ctx ends first, the error is its cause, and the
// connection stays open.
func (c *Conn) Next(ctx context.Context) (Event, error) { return c.queue.take(ctx) }

// Close closes the connection with [CloseNormal]. It drops events that Next has not returned, and
// waits up to 2 s for the server's close frame. When it returns, the reading goroutine has ended. It
// always returns nil.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		c.queue.stop(net.ErrClosed)
		_ = c.writeClose(CloseNormal, "") // the connection may have ended already
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

// run is the reading goroutine: it reads until the connection ends.
func (c *Conn) run() {
	defer close(c.done)
	err := c.receive()
	_ = c.conn.Close()
	c.queue.end(err)
}

// receive puts events into the queue until the connection ends. It returns why it ended.
func (c *Conn) receive() error {
	for {
		text, err := c.nextText()
		if err != nil {
			return err
		}
		e, err := parseEvent(text)
		if err != nil {
			return c.refuse(CloseInvalidData, err)
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
		return c.refuse(ClosePolicyViolation, err)
	}
	return nil
}

// nextText returns the next text message, which is valid until the next call. It handles all
// other frames.
func (c *Conn) nextText() ([]byte, error) {
	for {
		m, err := c.frames.next()
		if err != nil {
			return nil, c.readError(err)
		}
		switch m.op {
		case ws.OpText:
			return m.payload, nil
		case ws.OpBinary:
			return nil, c.refuse(CloseUnsupportedData, errors.New("server sent a binary message"))
		case ws.OpPing:
			err = c.write(ws.OpPong, m.payload)
			if errors.Is(err, net.ErrClosed) { // Close waits for the server's close frame
				err = nil
			}
		case ws.OpClose:
			code, reason := parseClose(m.payload)
			_ = c.writeClose(code, "") // RFC 6455 section 5.5.1; the server may have closed already
			return nil, &CloseError{code, reason}
		}
		if err != nil {
			return nil, fmt.Errorf("connection lost: %w", err)
		}
	}
}

// readError returns the error that ends the connection after frames.next returned err. It answers
// a protocol violation with a close frame.
func (c *Conn) readError(err error) error {
	if e, ok := errors.AsType[*protocolError](err); ok {
		return c.refuse(e.code, fmt.Errorf("server broke the protocol: %w", err))
	}
	return fmt.Errorf("connection lost: %w", err)
}

// A silenceReader reads a connection. A read fails if the server sends nothing for limit.
type silenceReader struct {
	conn  net.Conn
	limit time.Duration
}

func (r silenceReader) Read(b []byte) (int, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(r.limit)); err != nil {
		return 0, err
	}
	n, err := r.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the server sent nothing for %v", r.limit)
	}
	return n, err
}

// refuse sends a close frame with a code and the text of err, and returns err.
func (c *Conn) refuse(code CloseCode, err error) error {
	_ = c.writeClose(code, err.Error()) // the connection ends in any case
	return err
}

func (c *Conn) writeClose(code CloseCode, reason string) error {
	return c.write(ws.OpClose, closeBody(code, reason))
}

// write sends a frame. After a close frame it returns [net.ErrClosed].
func (c *Conn) write(op ws.OpCode, payload []byte) error {
	f := ws.MaskFrameWith(ws.NewFrame(op, true, payload), newMask())
	b, err := ws.CompileFrame(f)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent {
		return net.ErrClosed
	}
	c.closeSent = op == ws.OpClose
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	return err
}

// newMask returns an unpredictable masking key (RFC 6455 section 5.3).
func newMask() (mask [4]byte) {
	_, _ = rand.Read(mask[:]) // never fails: it ends the process instead
	return mask
}
