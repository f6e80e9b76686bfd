// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/valyala/fasthttp"
)

// maxInFlight bounds the lines of one bulk publish that are in the log's hands at
// once. Their bytes are bounded by what a lineReader holds: nothing is read
// while a line is unanswered.
const maxInFlight = 256

// lineSlack is by how much a line may be longer than an event.
const lineSlack = 4096

// answerAt is how much of an answer is gathered before it is handed on, in bytes,
// while there is input that needs no waiting for.
const answerAt = 16 << 10

// A bulk is a publish of newline-delimited JSON: each line that is not blank is
// an event, and is answered with a line, in order. Its goroutine reads the request and
// makes the answer by turns: lines at hand go to the log, up to maxInFlight; then, or
// when none is at hand, what the log has is answered; and it reads on only when all
// input so far is answered. So a client that publishes line by line gets each receipt
// at once. A client may also send everything before it reads anything: what it does not
// take waits in a [spool]. The [bulkAnswer] carries it to the client.
type bulk struct {
	// Constant.
	s        *Server
	conn     net.Conn
	audit    *auditRecord
	key      publishKey        // of the whole
	parent   event.Traceparent // of every line
	answers  *answerBuffer
	finished chan struct{} // closed when run has returned

	// Of the goroutine that runs; and of whoever has seen finished closed.
	lines           *lineReader
	line            int                   // number of the last one taken, from 1, blank ones counted
	window          [maxInFlight]inFlight // a ring
	oldest          int                   // index of the one to be answered next
	waiting         int                   // how many there are
	finalDeadline   bool                  // the read deadline is the last, because the node drains
	inputDone       bool
	counts          struct{ taken, refused int } // lines, for the audit
	inputProblem    *problem                     // why there will be no more lines, unless the request is complete
	logDownReported bool                         // it was said that the log does not take events
	panicked        bool                         // a line made its handler panic

	// Of both goroutines.
	mustRead atomic.Bool // the client is to read: the request has ended, or nothing more can wait
	stopped  atomic.Bool // nobody reads the answer any more
}

// An inFlight line is one that waits for its answer.
type inFlight struct {
	line    int
	event   submission
	problem *problem // why there is no event
}

// publishMany answers a bulk publish.
func (s *Server) publishBulk(ctx *fasthttp.RequestCtx, key publishKey, parent event.Traceparent) {
	b := &bulk{
		s: s, conn: ctx.Conn(), audit: auditOf(ctx), key: key, parent: parent,
		answers: newAnswerBuffer(s.cfg.TempDir, &s.answerFileBytes, s.limits.answerFiles), finished: make(chan struct{}),
		lines: newLineReader(bodyReader(ctx), s.cfg.MaxPayload+lineSlack),
	}
	b.audit.deferred = true
	s.conns.markStreaming(b.conn)
	ctx.SetContentType(typeNDJSON)
	ctx.SetBodyStream(&bulkAnswer{bulk: b}, -1)
}

// run publishes and answers until the request ends or nobody reads the answer. Then
// the log has answered for all that it was given.
func (b *bulk) run() {
	defer b.answers.closeWrite() // last, so that whoever has read all finds it finished
	defer close(b.finished)
	defer func() {
		if v := recover(); v != nil { // not over a line: those are contained
			b.panicked = true
			b.s.logPanic("POST", prefix+"/events", v)
		}
		b.setMustRead(true)
	}()
	var buf []byte
	for err := error(nil); err == nil; {
		buf, err = b.produce(buf[:0])
		if !b.answers.write(buf, b.setMustRead) {
			break
		}
	}
	for b.waiting > 0 {
		f := b.removeOldest()
		_, _ = b.result(&f) // what became of it nobody asks any more
	}
}

// produce appends the next piece of the answer to dst, and returns io.EOF with the
// last.
func (b *bulk) produce(dst []byte) ([]byte, error) {
	for len(dst) < answerAt {
		switch {
		case b.waiting < maxInFlight && b.lines.ready():
			b.submitNext()
		case b.waiting > 0:
			dst = b.answerOldest(dst)
		case b.inputDone:
			return b.appendEnd(dst), io.EOF
		case len(dst) > 0:
			return dst, nil
		default:
			b.readInput()
		}
	}
	return dst, nil
}

// press says whether the client is to read now. While it need not, because it is still
// sending, a write may take its time.
func (b *bulk) setMustRead(on bool) {
	b.mustRead.Store(on)
	b.setWriteDeadline()
}

// setWriteDeadline gives the client time to take what is being written. Who changes
// pressed sets the deadline after it, so the last one set fits.
func (b *bulk) setWriteDeadline() {
	for {
		on, deadline := b.mustRead.Load(), time.Time{}
		if on {
			deadline = time.Now().Add(b.s.limits.write)
		}
		_ = b.conn.SetWriteDeadline(deadline)
		if b.mustRead.Load() == on {
			return
		}
	}
}

// abandon has run end, if it has not: nobody reads the answer any more.
func (b *bulk) stop() {
	b.stopped.Store(true)
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
	b.answers.closeRead()
}

// take hands the next line to the log.
func (b *bulk) submitNext() {
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
func (b *bulk) submit(f *inFlight, text []byte) (p *problem) {
	defer b.recoverLine(&p)
	var err error
	if f.event, err = b.s.submit(text, b.key.line(b.line), b.parent); err != nil {
		return b.lineProblem(err)
	}
	return nil
}

// settle answers the oldest line, when its event is in the log.
func (b *bulk) answerOldest(dst []byte) []byte {
	f := b.removeOldest()
	r, p := b.result(&f)
	if p == nil {
		return append(r.appendTo(dst), '\n')
	}
	b.s.cfg.Node.RejectedPublishes.WithLabelValues(p.code).Inc()
	return appendRefusal(dst, f.line, p)
}

func (b *bulk) removeOldest() inFlight {
	f := b.window[b.oldest]
	b.window[b.oldest] = inFlight{}
	b.oldest = (b.oldest + 1) % maxInFlight
	b.waiting--
	return f
}

func (b *bulk) result(f *inFlight) (r receipt, p *problem) {
	defer b.recoverLine(&p)
	if f.problem != nil {
		b.counts.refused++
		return receipt{}, f.problem
	}
	r, err := b.s.await(&f.event)
	if err != nil {
		b.counts.refused++
		return receipt{}, b.lineProblem(err)
	}
	b.counts.taken++
	return r, nil
}

// contain is deferred: a panic over one line is that line's problem alone.
func (b *bulk) recoverLine(p **problem) {
	if v := recover(); v != nil {
		b.panicked = true
		b.s.logPanic("POST", prefix+"/events", v)
		*p = errPanicked
	}
}

// refused returns the problem with a line. A log out of reach fails them all,
// and is told of once.
func (b *bulk) lineProblem(err error) *problem {
	p := requestProblem(err)
	if p.code == codeUnavailable && !b.logDownReported {
		b.logDownReported = true
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
func (b *bulk) readInput() {
	b.setReadDeadline()
	err := b.lines.read()
	if err == nil {
		return
	}
	b.inputDone = true
	if err != io.EOF {
		b.inputProblem = b.readProblem(err)
	}
}

func (b *bulk) readProblem(err error) *problem {
	if n, ok := errors.AsType[net.Error](err); !ok || !n.Timeout() {
		return problemf(0, codeBadRequest, "the request broke off, nothing from this line on was published: %v", err)
	}
	if b.s.draining.Load() {
		return drainingProblem()
	}
	return problemf(0, codeTimeout, "no line came for %v; begin another request", b.s.limits.stall)
}

// end answers for the line that did not come, if the request was not complete.
func (b *bulk) appendEnd(dst []byte) []byte {
	if b.inputProblem == nil {
		return dst
	}
	return appendRefusal(dst, b.line+1, b.inputProblem)
}

// setDeadline gives the client time to send more. The order matters: Shutdown
// sets draining first, and then a deadline of its own, which this one may have
// replaced; and so does abandon.
func (b *bulk) setReadDeadline() {
	if b.finalDeadline {
		return
	}
	_ = b.conn.SetReadDeadline(time.Now().Add(b.s.limits.stall))
	if b.finalDeadline = b.s.draining.Load(); b.finalDeadline {
		_ = b.conn.SetReadDeadline(time.Now().Add(b.s.limits.drain))
	}
	if b.stopped.Load() {
		_ = b.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// report writes the line of the audit.
func (b *bulk) writeAudit() {
	b.audit.add("published", b.counts.taken, "refused", b.counts.refused)
	var err error // not a nil *problem
	switch {
	case b.panicked:
		err = errPanicked
	case b.inputProblem != nil:
		err = b.inputProblem
	}
	b.s.logAudit(b.audit, err)
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
