// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// A bulkRequest is one request of a bulk, with the lines of one segment. Segments have
// segmentLines lines, and an idempotency key each. The node makes the key of a line from that and
// from the line's number in the request, for which blank lines count. So a repeat of a request
// has a blank line in the place of each line that was answered.
//
// It is the request's body: the transport's goroutine calls Read. Everything else is called by
// the caller's goroutine. bulk.mu guards the fields of the last group.
type bulkRequest struct {
	*bulk
	segment  int   // number of the segment
	end      int   // number of its last line, plus 1
	refused  error // the last temporary refusal of a line, or the reason why the node ended the request
	answered bool  // there was an answer that is no temporary refusal

	next    int         // number of the next line to send
	part    []byte      // rest of a line that Read has begun
	sent    []*bulkLine // lines without an answer, in order
	started bool        // Read was called
	ended   bool        // send no more
	waiting bool        // the caller's goroutine waits for the node
	timer   *time.Timer // cancels the request when there is no progress
}

func newBulkRequest(b *bulk) *bulkRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	segment := b.first / segmentLines
	return &bulkRequest{bulk: b, segment: segment, end: (segment + 1) * segmentLines, next: segment * segmentLines}
}

var (
	errBroken  = errors.New("the caller wants no more results")
	errStalled = errors.New("the node made no progress in time")
)

// run sends the request and reads the answers. It returns nil if all lines that were sent are
// answered.
func (r *bulkRequest) run(ctx context.Context, yield func(Result) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.setTimer(time.AfterFunc(r.c.cfg.AttemptTimeout, func() { cancel(errStalled) }))
	defer r.finish()
	// The transport returns no error as long as Read waits, so Read must not outlive the
	// request or its connection.
	defer context.AfterFunc(ctx, r.endInput)()
	ctx = onConnClose(ctx, r.endInput)
	header := http.Header{"Content-Type": {typeNDJSON}, "Idempotency-Key": {r.key + "-" + strconv.Itoa(r.segment)}}
	resp, err := r.c.send(ctx, http.MethodPost, Root+"/events", header, r)
	if err == nil {
		defer resp.Close()
		err = r.readAnswers(resp, yield)
	}
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		err = errStalled
	}
	if r.answered {
		r.retry.reset()
	}
	if err != nil {
		return err
	}
	return r.refused
}

func (r *bulkRequest) setTimer(t *time.Timer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer, r.waiting = t, true
}

// Close implements [io.Closer]. The transport calls it when it needs no more of the body.
func (r *bulkRequest) Close() error { r.endInput(); return nil }

// endInput makes Read return, also one in progress.
func (r *bulkRequest) endInput() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.changed.Broadcast()
}

// finish stops the timer and ends a Read in progress.
func (r *bulkRequest) finish() {
	r.endInput()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = false
	r.timer.Stop()
}

// progress restarts the timer if the node has to do something. The caller holds mu.
func (r *bulkRequest) progress() {
	if r.waiting && (!r.started || len(r.sent) > 0) {
		r.timer.Reset(r.c.cfg.AttemptTimeout)
	} else {
		r.timer.Stop()
	}
}

// setWaiting sets whether the caller's goroutine waits for the node.
func (r *bulkRequest) setWaiting(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = on
	r.progress()
}

// Read implements [io.Reader]. It waits for the next line.
func (r *bulkRequest) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = true
	n := 0
	for n < len(p) {
		if len(r.part) == 0 && !r.take() {
			switch {
			case n > 0:
				r.progress()
				return n, nil
			case r.ended || r.next >= r.end || r.done && r.next >= r.first+len(r.window):
				return 0, io.EOF
			}
			r.changed.Wait()
			continue
		}
		k := copy(p[n:], r.part)
		n, r.part = n+k, r.part[k:]
	}
	r.progress()
	return n, nil
}

var blank = []byte{'\n'}

// take makes the next line the part to send. It returns false if there is none now.
func (r *bulkRequest) take() bool {
	switch i := r.next - r.first; {
	case r.ended || r.next >= r.end || i >= len(r.window):
		return false
	case i < 0 || r.window[i].answered:
		r.part = blank
	default:
		r.part = r.window[i].text
		r.sent = append(r.sent, r.window[i])
	}
	r.next++
	return true
}

// maxAnswer bounds a line of the response, in bytes. The node's are much shorter.
const maxAnswer = 64 << 10

// readAnswers reads the response to its end and yields results.
func (r *bulkRequest) readAnswers(resp io.Reader, yield func(Result) bool) error {
	lines := bufio.NewReaderSize(resp, maxAnswer)
	for {
		r.setWaiting(true)
		text, err := lines.ReadSlice('\n')
		r.setWaiting(false)
		if errors.Is(err, bufio.ErrBufferFull) {
			return &localError{fmt.Errorf("platform: a line of the node's response is longer than %d bytes", maxAnswer)}
		}
		complete := err == nil // a line without a line feed was cut off
		if text = bytes.TrimSpace(text); complete && len(text) > 0 {
			if err := r.answer(text); err != nil {
				return err
			}
			if !r.yieldAnswered(yield) {
				return errBroken
			}
		}
		switch {
		case err == io.EOF:
			return r.unanswered()
		case err != nil:
			return err
		}
	}
}

// unanswered returns an error if a line that was sent has no answer.
func (r *bulkRequest) unanswered() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sent) > 0 && r.refused == nil {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// answer stores the answer to a line. It matches answers to lines by their order; a refusal
// has the line's number besides.
func (r *bulkRequest) answer(text []byte) error {
	var a struct {
		Receipt
		problem
		Line int `json:"line"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return &localError{fmt.Errorf("platform: a line of the node's response cannot be decoded: %w", err)}
	}
	refused := error(a.err(0))
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Error != "" && (len(r.sent) == 0 || a.Line != r.sent[0].result.N%segmentLines+1) {
		// The last answer: the node has not received this line. Whatever the reason, the rest can
		// be sent again.
		r.refused = fmt.Errorf("the node ended the request: %v", refused)
		return nil
	}
	if len(r.sent) == 0 {
		return &localError{errors.New("platform: the node's response has more lines than the request")}
	}
	l := r.sent[0]
	r.sent[0] = nil
	r.sent = r.sent[1:]
	switch {
	case a.Error == "":
		l.answered, l.result.Receipt = true, a.Receipt
	case Temporary(refused): // it stays in the window, for the next request
		r.refused, r.ended = refused, true
		r.changed.Broadcast()
		return nil
	default:
		l.answered, l.result.Err = true, refused
	}
	r.answered = true
	return nil
}
