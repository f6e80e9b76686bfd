// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"io"
	"time"
)

// A bulkAnswer is the response's body of a bulk publish: what its bulk answers, as the
// client takes it. The connection's goroutine reads it; the bulk runs on a goroutine
// of its own, from the first read until it is told to end. It has ended when Close
// returns, so nothing reads the connection after it is given up.
type bulkAnswer struct {
	*bulk
	started bool

	buf  []byte // the piece at hand
	done int    // buf[:done] is read
}

// SupportsBodyWriteTo implements [fasthttp.BodyWriterTo].
func (a *bulkAnswer) SupportsBodyWriteTo() bool { return true }

// WriteTo implements [io.WriterTo].
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

// next gets the next piece, empty at the end.
func (a *bulkAnswer) next() (err error) {
	if !a.started {
		a.started = true
		go a.run()
	}
	a.buf, err = a.answers.next(a.buf)
	a.done = 0
	a.setWriteDeadline()
	return err
}

// Close implements [io.Closer]. It waits for what the log was given and nobody will be
// told of, because the client has gone. When it is the server that ends the request,
// fasthttp reads on a little: to close a socket with unread data would take the end of
// the answer from the client.
func (a *bulkAnswer) Close() error {
	if a.started {
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
