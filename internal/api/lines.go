// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"io"
)

// lineBuffer is how many bytes of input are read at once.
const lineBuffer = 64 << 10

// A lineReader splits its input into lines. It never waits for more input than
// the next line needs, and holds no more than the longest line that is allowed.
// Its ready method reports whether a line is available without reading. One
// goroutine uses it.
type lineReader struct {
	r     io.Reader
	limit int   // longest line in bytes, without its newline
	err   error // why reading ended

	buf     []byte // buf[start:] was read and not taken
	start   int
	scanned int  // buf[start:scanned] contains no newline
	skip    bool // the current line is too long; its beginning was dropped
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: r, limit: limit, buf: make([]byte, 0, lineBuffer)}
}

// ready reports whether next has a line. The last line counts without a
// newline, if the input is complete.
func (l *lineReader) ready() bool {
	if i := bytes.IndexByte(l.buf[l.scanned:], '\n'); i >= 0 {
		l.scanned += i
		return true
	}
	l.scanned = len(l.buf)
	return l.err == io.EOF && (l.skip || l.start < len(l.buf))
}

// next takes a line, without its newline. Call it when ready reports true. The
// line is valid until the next call of read. ok is false for a line over the
// limit.
func (l *lineReader) next() (line []byte, ok bool) {
	line = l.buf[l.start:l.scanned]
	ok = !l.skip && len(line) <= l.limit
	l.scanned = min(l.scanned+1, len(l.buf))
	l.start, l.skip = l.scanned, false
	return line, ok
}

// read waits once for more input. Call it when ready reports false. At the end
// of the input it returns io.EOF or the error. After an error the incomplete
// last line is not ready, because a line that was cut off is not a line.
func (l *lineReader) read() error {
	if l.err != nil {
		return l.err
	}
	// The line is already too long: drop what there is of it, and remember
	// that.
	if len(l.buf)-l.start > l.limit {
		l.skip = true
		l.start = len(l.buf)
	}
	l.makeRoom()
	n, err := l.r.Read(l.buf[len(l.buf):cap(l.buf)])
	l.buf = l.buf[:len(l.buf)+n]
	l.err = err
	return err
}

// makeRoom makes room for a read: it moves the unread bytes to the front, and
// grows the buffer if that is not enough.
func (l *lineReader) makeRoom() {
	if l.start < len(l.buf) && cap(l.buf)-len(l.buf) >= lineBuffer/2 {
		return // a long line that arrives in small pieces is not moved for each piece
	}
	n := copy(l.buf, l.buf[l.start:])
	l.buf = l.buf[:n]
	l.scanned -= l.start
	l.start = 0
	if cap(l.buf)-n < lineBuffer/2 {
		l.buf = append(make([]byte, 0, min(2*cap(l.buf), l.limit+lineBuffer)), l.buf...)
	}
}
