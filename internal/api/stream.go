// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// A producer makes an answer piece by piece. One goroutine uses it.
type producer interface {
	// produce appends the next piece to dst, which is empty. It returns io.EOF
	// with the last piece. Any other error cuts the connection, so that the
	// client cannot take a part of the answer for the whole.
	produce(dst []byte) ([]byte, error)
	// Close is called once, after the last piece or when the client is gone.
	io.Closer
}

// A streamed is a response body that a producer makes. The goroutine of the
// connection reads it.
//
// It is not a [fasthttp.StreamWriter]. That one runs on another goroutine: it
// would still read the request after its connection was given back, and it
// cannot mark an answer as failed.
type streamed struct {
	producer
	s    *Server
	path string // of the request, for the log
	conn net.Conn

	buf  []byte // the current piece
	done int    // buf[:done] was read
	err  error  // what follows buf; io.EOF: the end
}

// answerStream answers with what p makes, in HTTP chunks.
func (s *Server) answerStream(ctx *fasthttp.RequestCtx, p producer) {
	ctx.SetBodyStream(&streamed{producer: p, s: s, path: string(ctx.Path()), conn: ctx.Conn()}, -1)
}

// SupportsBodyWriteTo implements [fasthttp.BodyWriterTo].
func (s *streamed) SupportsBodyWriteTo() bool { return true }

// WriteTo implements [io.WriterTo]. It sends each piece as it is made; through
// Read, fasthttp would cut it into pieces of 4 KiB.
func (s *streamed) WriteTo(w io.Writer) (total int64, err error) {
	// A piece that comes together with an error is still sent: the last one
	// comes with io.EOF.
	for s.err == nil {
		s.next()
		n, err := w.Write(s.buf)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	if s.err != io.EOF {
		return total, s.err
	}
	return total, nil
}

// Read implements [io.Reader], for clients of HTTP/1.0.
func (s *streamed) Read(p []byte) (int, error) {
	for s.done == len(s.buf) {
		if s.err != nil {
			return 0, s.err
		}
		s.next()
	}
	n := copy(p, s.buf[s.done:])
	s.done += n
	return n, nil
}

// next makes the next piece. A panic cuts the connection, like any error.
func (s *streamed) next() {
	defer func() {
		if v := recover(); v != nil {
			s.s.logPanic("GET", s.path, v)
			s.buf, s.err = nil, errPanicked
		}
	}()
	s.done = 0
	s.buf, s.err = s.produce(s.buf[:0])
	// The WriteTimeout of fasthttp is for a whole response. Here each piece has
	// its own.
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.s.limits.write))
}
