// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"io"
	"time"
)

// A bulkAnswer is the response body of a bulk publish. The goroutine of the
// connection reads it. The first read starts the goroutine of the bulk, which
// writes answers into the buffer that this reads from. Close returns only after
// that goroutine has ended, so nothing reads the connection after fasthttp has
// it back.
type bulkAnswer struct {
	*bulk
	started bool // the goroutine of the bulk was started

	buf  []byte // the current piece
	done int    // buf[:done] was read
}

// SupportsBodyWriteTo implements [fasthttp.BodyWriterTo].
func (a *bulkAnswer) SupportsBodyWriteTo() bool { return true }

// WriteTo implements [io.WriterTo]. Each piece is sent as soon as it is there.
func (a *bulkAnswer) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := a.next(); err != nil || len(a.buf) == 0 {
			return total, err
		}
		n, err := w.Write(a.buf)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Read implements [io.Reader], for clients of HTTP/1.0.
func (a *bulkAnswer) Read(p []byte) (int, error) {
	if a.done == len(a.buf) {
		if err := a.next(); err != nil {
			return 0, err
		}
		if len(a.buf) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, a.buf[a.done:])
	a.done += n
	return n, nil
}

// next gets the next piece; an empty one is the end.
func (a *bulkAnswer) next() (err error) {
	// Not earlier: fasthttp reads the body only after it has written the
	// response header, and Close is called even if it never does.
	if !a.started {
		a.started = true
		go a.run()
	}
	a.buf, err = a.answers.next(a.buf)
	a.done = 0
	a.setWriteDeadline()
	return err
}

// Close implements [io.Closer]. If the client is gone, it waits until the log
// has answered the lines it was given.
//
// If the server ends the request, fasthttp reads on for a moment after Close:
// closing a socket that has unread data would reset the connection, and the
// client would lose the end of the answer. The read deadline bounds that.
func (a *bulkAnswer) Close() error {
	if a.started {
		// A finished bulk has read its input to the end, or to its own error.
		// One that is not finished has lost its client.
		select {
		case <-a.finished:
		default:
			a.stop()
			<-a.finished
		}
	}
	a.answers.release()
	a.writeAudit()
	if a.inputProblem != nil {
		_ = a.conn.SetReadDeadline(time.Now().Add(a.s.limits.drain))
	}
	return nil
}
