// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"gatecast/event"
	"gatecast/internal/strict"

	"github.com/valyala/fasthttp"
)

// maxInFlight bounds the lines of one bulk publish that are in the log's hands at
// once. Their bytes are bounded by what a lineReader holds: nothing is read
// while a line is unanswered.
const maxInFlight = 256

// lineSlack is by how much a line may be longer than an event.
const lineSlack = 4096

// answerAt is how much of an answer is gathered before it is written, in bytes,
// while there is input that needs no waiting for.
const answerAt = 16 << 10

// A bulk is a publish of newline-delimited JSON: each line that is not blank is
// an event, and is answered with a line, in order. It is owned by the goroutine
// of its connection, which makes the answer and reads the request by turns: lines
// at hand go to the log, up to maxInFlight; then, or when none is at hand, what
// the log has is answered; and it reads on only when all input so far is
// answered. So a client that publishes line by line gets each receipt at once,
// and one that does not read is held back by TCP alone.
type bulk struct {
	s      *Server
	conn   net.Conn
	act    *act
	key    string            // idempotency key of the whole; "" for none
	parent event.Traceparent // of every line
	lines  *lineReader
	line   int // number of the last one taken, from 1, blank ones counted

	window  [maxInFlight]inFlight // a ring
	oldest  int                   // index of the one to be answered next
	waiting int                   // how many there are

	last    bool // the read deadline is the last, because the node drains
	ended   bool
	counts  struct{ taken, refused int } // lines, for the audit
	broken  *problem                     // why there will be no more lines, unless the request is complete
	logDown bool                         // it was said that the log does not take events
}

// An inFlight line is one that waits for its answer.
type inFlight struct {
	line    int
	event   submission
	problem *problem // why there is no event
}

// publishMany answers a bulk publish.
func (s *Server) publishMany(ctx *fasthttp.RequestCtx, key string, parent event.Traceparent) {
	b := &bulk{
		s: s, conn: ctx.Conn(), key: key, parent: parent,
		lines: newLineReader(bodyReader(ctx), s.cfg.MaxPayload+lineSlack),
		act:   actOf(ctx),
	}
	b.act.later = true
	s.conns.stream(b.conn)
	ctx.SetContentType(typeNDJSON)
	s.answerStream(ctx, b)
}

// produce implements [producer].
func (b *bulk) produce(dst []byte) ([]byte, error) {
	for len(dst) < answerAt {
		switch {
		case b.waiting < maxInFlight && b.lines.ready():
			b.take()
		case b.waiting > 0:
			dst = b.settle(dst)
		case b.ended:
			return b.end(dst), io.EOF
		case len(dst) > 0:
			return dst, nil
		default:
			b.await()
		}
	}
	return dst, nil
}

// take hands the next line to the log.
func (b *bulk) take() {
	text, ok := b.lines.next()
	b.line++
	if ok && len(bytes.TrimSpace(strict.TrimBOM(text))) == 0 {
		return
	}
	f := inFlight{line: b.line}
	if ok {
		f.problem = b.submit(&f, text)
	} else {
		f.problem = tooLarge("the line is longer than %d bytes", b.lines.limit)
	}
	b.window[(b.oldest+b.waiting)%maxInFlight] = f
	b.waiting++
}

// submit gives a line's event to the log.
func (b *bulk) submit(f *inFlight, text []byte) *problem {
	var err error
	if f.event, err = b.s.submit(text, b.lineKey(), b.parent); err != nil {
		return b.refused(err)
	}
	return nil
}

// lineKey returns the idempotency key of the line at hand. When the same lines
// are published again with the same key, each is the same as before.
func (b *bulk) lineKey() string {
	if b.key == "" {
		return ""
	}
	return b.key + "#" + strconv.Itoa(b.line)
}

// settle answers the oldest line, when its event is in the log.
func (b *bulk) settle(dst []byte) []byte {
	f := b.pop()
	r, p := b.wait(&f)
	if p == nil {
		return append(r.appendTo(dst), '\n')
	}
	b.s.cfg.Node.RejectedPublishes.WithLabelValues(p.code).Inc()
	return appendRefusal(dst, f.line, p)
}

func (b *bulk) pop() inFlight {
	f := b.window[b.oldest]
	b.window[b.oldest] = inFlight{}
	b.oldest = (b.oldest + 1) % maxInFlight
	b.waiting--
	return f
}

func (b *bulk) wait(f *inFlight) (receipt, *problem) {
	if f.problem != nil {
		b.counts.refused++
		return receipt{}, f.problem
	}
	r, err := b.s.settle(&f.event)
	if err != nil {
		b.counts.refused++
		return receipt{}, b.refused(err)
	}
	b.counts.taken++
	return r, nil
}

// refused returns the problem with a line. A log out of reach fails them all,
// and is told of once.
func (b *bulk) refused(err error) *problem {
	p := requestProblem(err)
	if p.code == codeUnavailable && !b.logDown {
		b.logDown = true
		b.s.cfg.Logger.Warn("internal listener: the event log does not take the lines of a bulk publish", "error", p.message)
	}
	return p
}

func appendRefusal(dst []byte, line int, p *problem) []byte {
	dst = append(dst, `{"line":`...)
	dst = strconv.AppendInt(dst, int64(line), 10)
	dst = append(dst, ',')
	return append(p.appendTo(dst), '}', '\n')
}

// await waits for input.
func (b *bulk) await() {
	b.setDeadline()
	err := b.lines.read()
	if err == nil {
		return
	}
	b.ended = true
	if err != io.EOF {
		b.broken = b.brokenBy(err)
	}
}

func (b *bulk) brokenBy(err error) *problem {
	if n, ok := errors.AsType[net.Error](err); !ok || !n.Timeout() {
		return problemf(0, codeBadRequest, "the request broke off, nothing from this line on was published: %v", err)
	}
	if b.s.draining.Load() {
		return drainingProblem()
	}
	return problemf(0, codeTimeout, "no line came for %v; begin another request", b.s.limits.stall)
}

// end answers for the line that did not come, if the request was not complete.
func (b *bulk) end(dst []byte) []byte {
	if b.broken == nil {
		return dst
	}
	return appendRefusal(dst, b.line+1, b.broken)
}

// setDeadline gives the client time to send more. The order matters: Shutdown
// sets draining first, and then a deadline of its own, which this one may have
// replaced.
func (b *bulk) setDeadline() {
	if b.last {
		return
	}
	_ = b.conn.SetReadDeadline(time.Now().Add(b.s.limits.stall))
	if b.last = b.s.draining.Load(); b.last {
		_ = b.conn.SetReadDeadline(time.Now().Add(b.s.limits.drain))
	}
}

// Close implements [producer]. It waits for what the log was given and nobody
// will be told of, because the client has gone. When it is the server that ends
// the request, fasthttp reads on a little: to close a socket with unread data
// would take the end of the answer from the client.
func (b *bulk) Close() error {
	for b.waiting > 0 {
		f := b.pop()
		_, _ = b.wait(&f) // what became of it nobody asks any more
	}
	b.act.note("published", b.counts.taken, "refused", b.counts.refused)
	var err error // not a nil *problem
	if b.broken != nil {
		err = b.broken
	}
	b.s.audit(b.act, err)
	if b.broken != nil {
		_ = b.conn.SetReadDeadline(time.Now().Add(b.s.limits.drain))
	}
	return nil
}

func drainingProblem() *problem {
	return problemf(fasthttp.StatusServiceUnavailable, codeDraining, "this node shuts down; nothing was published")
}

// bodyReader returns the request's body. Reading it fails when the client leaves
// before its end, which fasthttp's stream does not tell from the end.
func bodyReader(ctx *fasthttp.RequestCtx) io.Reader {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return bytes.NewReader(nil)
	}
	if n := ctx.Request.Header.ContentLength(); n >= 0 {
		return &fixedReader{stream, n}
	}
	return stream
}

// A fixedReader reads exactly left bytes.
type fixedReader struct {
	r    io.Reader
	left int
}

func (f *fixedReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.left -= n
	if err == io.EOF && f.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
