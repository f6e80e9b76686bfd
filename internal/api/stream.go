// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// A producer makes an answer piece by piece: produce appends the next piece to
// dst, which is empty, and returns io.EOF with the last. Any other error cuts the connection, so
// that the client does not take a part of the answer for the whole. Close is
// called once, after the last piece or when the client has gone.
type producer interface {
	produce(dst []byte) ([]byte, error)
	io.Closer
}

// A streamed answer is a response's body that a producer makes.
//
// It is not a fasthttp.StreamWriter, which runs on another goroutine: that one
// would go on reading the request after its connection has been given up, and
// could not tell an answer that failed from one that is complete.
type streamed struct {
	producer
	s    *Server
	path string // of the request
	conn net.Conn

	buf  []byte // the piece at hand
	done int    // buf[:done] is read
	err  error  // comes after it
}

// answerStream answers with what p makes, chunk by chunk.
func (s *Server) answerStream(ctx *fasthttp.RequestCtx, p producer) {
	ctx.SetBodyStream(&streamed{producer: p, s: s, path: string(ctx.Path()), conn: ctx.Conn()}, -1)
}

// SupportsBodyWriteTo implements [fasthttp.BodyWriterTo].
func (s *streamed) SupportsBodyWriteTo() bool { return true }

// WriteTo implements [io.WriterTo]. With it fasthttp sends each piece as it is
// made, where it would cut it into pieces of 4 KiB by Read.
func (s *streamed) WriteTo(w io.Writer) (total int64, err error) {
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

// next makes the next piece. A panic cuts the connection, as any error does.
func (s *streamed) next() {
	defer func() {
		if v := recover(); v != nil {
			s.s.logPanic("GET", s.path, v)
			s.buf, s.err = nil, errPanicked
		}
	}()
	s.done = 0
	s.buf, s.err = s.produce(s.buf[:0])
	// The server's own deadline is for a whole response.
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.s.limits.write))
}
