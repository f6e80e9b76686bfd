// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"io"
)

// lineBuffer is how much of the input is read at once.
const lineBuffer = 64 << 10

// A lineReader splits its input into lines without ever waiting for more than
// the next, and without holding more of it than the longest line that is
// allowed. Ready tells whether a line can be had without reading.
type lineReader struct {
	r     io.Reader
	limit int // longest line, in bytes without its end
	err   error

	buf     []byte // buf[start:] is read and not yet taken
	start   int
	scanned int  // buf[start:scanned] has no newline
	skip    bool // the line at start is too long, and its beginning is gone
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: r, limit: limit, buf: make([]byte, 0, lineBuffer)}
}

// ready reports whether next has a line.
func (l *lineReader) ready() bool {
	if i := bytes.IndexByte(l.buf[l.scanned:], '\n'); i >= 0 {
		l.scanned += i
		return true
	}
	l.scanned = len(l.buf)
	return l.err == io.EOF && (l.skip || l.start < len(l.buf))
}

// next takes a line without its end; the caller must be done with it before the
// next read. It may be called when ready reports true. A line over the limit is
// not ok.
func (l *lineReader) next() (line []byte, ok bool) {
	line = l.buf[l.start:l.scanned]
	ok = !l.skip && len(line) <= l.limit
	l.scanned = min(l.scanned+1, len(l.buf))
	l.start, l.skip = l.scanned, false
	return line, ok
}

// read waits for more input, once. It may be called when ready reports false.
// After its end, or when reading failed, it returns why; what came of the last
// line is ready only after io.EOF, because a line that broke off is not one.
func (l *lineReader) read() error {
	if l.err != nil {
		return l.err
	}
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

// makeRoom makes room for a read, by moving what is left to the front, and by a
// larger buffer when that is not enough.
func (l *lineReader) makeRoom() {
	if l.start < len(l.buf) && cap(l.buf)-len(l.buf) >= lineBuffer/2 {
		return // a long line in small pieces is not moved for each
	}
	n := copy(l.buf, l.buf[l.start:])
	l.buf = l.buf[:n]
	l.scanned -= l.start
	l.start = 0
	if cap(l.buf)-n < lineBuffer/2 {
		l.buf = append(make([]byte, 0, min(2*cap(l.buf), l.limit+lineBuffer)), l.buf...)
	}
}
