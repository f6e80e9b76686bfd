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

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/valyala/fasthttp"
)

// maxInFlight is the largest number of lines of one bulk publish that wait for
// the log at the same time. Their bytes are bounded too, by the buffer of the
// lineReader: input is read only when every line so far is answered.
const maxInFlight = 256

// lineSlack is by how many bytes a line may exceed the largest event.
const lineSlack = 4096

// answerAt is the size in bytes at which a piece of the answer is passed on
// although more input is ready.
const answerAt = 16 << 10

// A bulk is a publish, or an import of gateways, of newline-delimited JSON. Each
// line that is not blank is an event or a gateway, and gets one line of the
// answer, in order. What is said here of events holds for gateways too.
//
// Its goroutine reads the request and makes the answer in turns. It gives the
// lines that are in memory to the log, up to maxInFlight. When there are none
// left, it waits for the log and appends the answers. Only when every line is
// answered does it read more input. So a client that publishes line by line
// gets each receipt at once. A client may also send everything before it reads
// anything: answers it does not read wait in an [answerBuffer], from which
// [bulkAnswer] writes them to the client.
type bulk struct {
	// Constant after start.
	s        *Server
	conn     net.Conn
	audit    *auditRecord
	key      publishKey        // of the request; each line has a key derived from it
	parent   event.Traceparent // of the request; every line has it
	imports  *gatewayImport    // nil: a publish
	answers  *answerBuffer
	finished chan struct{} // closed when run has returned

	// Owned by the goroutine of run; after finished is closed, by the
	// connection's goroutine.
	lines           *lineReader
	line            int                          // number of the last one taken, from 1, blank ones counted
	window          [maxInFlight]inFlight        // ring of the lines that wait for the log
	oldest          int                          // index in window of the next line to answer
	waiting         int                          // number of lines in window
	finalDeadline   bool                         // the read deadline must not move again: the node drains
	inputDone       bool                         // no more lines will come
	counts          struct{ taken, refused int } // lines by result, for the audit line
	inputProblem    *problem                     // why the input ended early; nil: it is complete
	logDownReported bool                         // it was logged that the log is unreachable
	panicked        bool                         // handling a line panicked

	// Shared with the connection's goroutine.
	mustRead atomic.Bool // writes have a deadline: the request has ended, or the answer buffer is full
	stopped  atomic.Bool // the client is gone: nobody reads the answer
}

// An inFlight line waits for its answer.
type inFlight struct {
	line     int // number of the last line taken, from 1; blank lines count
	event    submission
	imported *importJob // of an import, instead of event
	problem  *problem   // why the line was not published; nil: see event
}

// publishBulk answers a bulk publish. The rest happens in [bulkAnswer] while
// the answer is sent.
func (s *Server) publishBulk(ctx *fasthttp.RequestCtx, key publishKey, parent event.Traceparent) {
	s.startBulk(ctx, &bulk{key: key, parent: parent, lines: newLineReader(bodyReader(ctx), s.cfg.MaxPayload+lineSlack)})
}

// startBulk completes a bulk and makes it the answer.
func (s *Server) startBulk(ctx *fasthttp.RequestCtx, b *bulk) {
	b.s, b.conn, b.audit, b.finished = s, ctx.Conn(), auditOf(ctx), make(chan struct{})
	b.answers = newAnswerBuffer(s.cfg.TempDir, &s.answerFileBytes, s.limits.answerFiles)
	b.audit.deferred = true
	s.conns.markStreaming(b.conn)
	ctx.SetContentType(typeNDJSON)
	ctx.SetBodyStream(&bulkAnswer{bulk: b}, -1)
}

// run publishes and answers lines until the request ends or the client is gone.
// When it returns, the log has confirmed or refused every line that it was
// given.
func (b *bulk) run() {
	// Deferred calls run in reverse order: the recovery first, then finished is
	// closed, and the end of the answers comes last. A reader at the end of the
	// answers therefore finds the bulk finished.
	defer b.answers.closeWrite()
	defer close(b.finished)
	defer func() {
		if v := recover(); v != nil { // panics over one line are recovered in recoverLine
			b.panicked = true
			b.s.logPanic("POST", b.path(), v)
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
	// The client is gone, or the input ended. Appends cannot be taken back, so
	// wait for them: each holds the publish gate open, and the audit line has
	// the counts.
	for b.waiting > 0 {
		f := b.removeOldest()
		if b.imports != nil {
			_ = b.importResult(&f)
			continue
		}
		_, _ = b.result(&f) // nobody reads this answer; the publish gate and the counts need the result
	}
}

// produce appends the next piece of the answer to dst. It returns io.EOF with
// the last piece.
func (b *bulk) produce(dst []byte) ([]byte, error) {
	for len(dst) < answerAt {
		switch {
		// Keep the log busy: submit what is in memory before waiting for any
		// answer.
		case b.waiting < b.maxWaiting() && b.lines.ready():
			b.submitNext()
		case b.waiting > 0:
			dst = b.answerOldest(dst)
		case b.inputDone:
			return b.appendEnd(dst), io.EOF
		// Everything that was read is answered. Send it before blocking in a
		// read, because the client may wait for it before it sends more.
		case len(dst) > 0:
			return dst, nil
		default:
			b.readInput()
		}
	}
	return dst, nil
}

// maxWaiting returns how many lines can be in the window.
func (b *bulk) maxWaiting() int {
	if b.imports != nil {
		return importsInFlight
	}
	return maxInFlight
}

// setMustRead sets whether the client has to read now. As long as it is still
// sending and its answers fit into the buffer, a blocked write is no reason to
// cut it off.
func (b *bulk) setMustRead(on bool) {
	b.mustRead.Store(on)
	b.setWriteDeadline()
}

// setWriteDeadline sets the deadline of the write in progress from mustRead.
// Both goroutines call it, each after it changed mustRead or finished a write;
// the loop repeats until the deadline fits the latest mustRead.
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

// stop makes run return soon, because the client is gone. A read in progress
// fails.
func (b *bulk) stop() {
	b.stopped.Store(true)
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
	b.answers.closeRead()
}

// submitNext gives the next line to the log.
func (b *bulk) submitNext() {
	text, ok := b.lines.next()
	b.line++
	if ok && len(bytes.TrimSpace(strict.TrimBOM(text))) == 0 {
		return
	}
	// The window keeps lines in order, also those that never reach the log, so
	// that the answers come in order.
	f := inFlight{line: b.line}
	if ok {
		f.problem = b.submit(&f, text)
	} else {
		f.problem = tooLarge("the line is longer than %d bytes", b.lines.limit)
	}
	b.window[(b.oldest+b.waiting)%maxInFlight] = f
	b.waiting++
}

// submit gives the event of one line to the log, and returns why it could not.
func (b *bulk) submit(f *inFlight, text []byte) (p *problem) {
	defer b.recoverLine(&p)
	var err error
	if b.imports != nil {
		f.imported, err = b.imports.start(text)
	} else {
		f.event, err = b.s.submit(text, b.key.line(b.line), b.parent)
	}
	if err != nil {
		return b.lineProblem(err)
	}
	return nil
}

// answerOldest waits until the log has the oldest line, and appends its answer.
func (b *bulk) answerOldest(dst []byte) []byte {
	f := b.removeOldest()
	if b.imports != nil {
		return b.answerImport(dst, &f)
	}
	r, p := b.result(&f)
	if p == nil {
		return append(r.appendTo(dst), '\n')
	}
	b.s.cfg.Node.RejectedPublishes.WithLabelValues(p.code).Inc()
	return appendRefusal(dst, f.line, p)
}

// removeOldest removes the oldest line from the window.
func (b *bulk) removeOldest() inFlight {
	f := b.window[b.oldest]
	b.window[b.oldest] = inFlight{}
	b.oldest = (b.oldest + 1) % maxInFlight
	b.waiting--
	return f
}

// result waits for the log's answer to a line and counts it.
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

// recoverLine is deferred. A panic over one line is answered on that line and
// stops no other.
func (b *bulk) recoverLine(p **problem) {
	if v := recover(); v != nil {
		b.panicked = true
		b.s.logPanic("POST", b.path(), v)
		*p = errPanicked
	}
}

// lineProblem returns the answer for an error of a line. An unreachable log
// fails every line of a request, so it is logged once per request.
func (b *bulk) lineProblem(err error) *problem {
	// An error that is not a problem is a bad request, see requestProblem.
	p := requestProblem(err)
	if p.code == codeUnavailable && !b.logDownReported {
		b.logDownReported = true
		message := "internal listener: event log refuses lines of a bulk publish"
		if b.imports != nil {
			message = "internal listener: cannot store gateways of an import"
		}
		b.s.cfg.Logger.Warn(message, "error", p.message)
	}
	return p
}

// path returns the path of the request, for the log.
func (b *bulk) path() string {
	if b.imports != nil {
		return prefix + "/gateways"
	}
	return prefix + "/events"
}

// appendRefusal appends the answer for a line that was not published.
func appendRefusal(dst []byte, line int, p *problem) []byte {
	dst = append(dst, `{"line":`...)
	dst = strconv.AppendInt(dst, int64(line), 10)
	dst = append(dst, ',')
	return append(p.appendTo(dst), '}', '\n')
}

// readInput waits for more input.
func (b *bulk) readInput() {
	if b.imports != nil {
		b.imports.newBatch()
	}
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

// readProblem returns the answer for input that ended early.
func (b *bulk) readProblem(err error) *problem {
	// A deadline has three causes: Shutdown, a stalled client, and stop. After
	// stop nobody reads the answer, so it does not matter which of the others
	// is reported.
	if n, ok := errors.AsType[net.Error](err); !ok || !n.Timeout() {
		done := "published"
		if b.imports != nil {
			done = "imported"
		}
		return problemf(0, codeBadRequest, "the request ended early; this line and later lines were not %s: %v", done, err)
	}
	if b.s.draining.Load() {
		return drainingProblem()
	}
	return problemf(0, codeTimeout, "no line was received for %v; send the remaining lines in a new request", b.s.limits.stall)
}

// appendEnd appends the last line of the answer if the input ended early. Its
// number is that of the first line that was not received.
func (b *bulk) appendEnd(dst []byte) []byte {
	if b.inputProblem == nil {
		return dst
	}
	return appendRefusal(dst, b.line+1, b.inputProblem)
}

// setReadDeadline gives the client time to send more input. The order matters.
// Shutdown sets draining and then its own deadline, which the first call here
// may have replaced; so draining is checked after it, and the short deadline
// set again. The same holds for stop.
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

// writeAudit writes the audit line of the request.
func (b *bulk) writeAudit() {
	if b.imports != nil {
		n := &b.imports.counts
		b.audit.add("created", n[auth.Created], "updated", n[auth.Updated], "unchanged", n[auth.Unchanged], "refused", b.counts.refused)
	} else {
		b.audit.add("published", b.counts.taken, "refused", b.counts.refused)
	}
	var err error // an interface that is nil, not one that holds a nil *problem
	switch {
	case b.panicked:
		err = errPanicked
	case b.inputProblem != nil:
		err = b.inputProblem
	}
	b.s.logAudit(b.audit, err)
}

// drainingProblem is the answer to a publish after StopPublishing.
func drainingProblem() *problem {
	return problemf(fasthttp.StatusServiceUnavailable, codeDraining, "this node is shutting down; nothing was published; try another node")
}

// bodyReader returns the body of a request. fasthttp's stream ends with io.EOF
// also when the client disconnects in the middle; this reader returns
// io.ErrUnexpectedEOF then.
func bodyReader(ctx *fasthttp.RequestCtx) io.Reader {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return bytes.NewReader(nil)
	}
	// A chunked body has its own end marker, whose absence fasthttp does
	// report.
	if n := ctx.Request.Header.ContentLength(); n >= 0 {
		return &fixedReader{stream, n}
	}
	return stream
}

// A fixedReader expects exactly left more bytes.
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
