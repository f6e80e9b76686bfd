// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"errors"

	"golang.org/x/net/http/httpguts"
)

// ErrBody says that the chunks of a body are malformed (RFC 9112 section 7.1). The
// connection is not read any further.
var ErrBody = errors.New("http1: malformed chunks")

// maxSizeLine limits the line of a chunk's size, and maxTrailers the lines after the last
// chunk, in bytes.
const (
	maxSizeLine = 256
	maxTrailers = MaxHead
)

// A body finds the end of a request's body. It has no I/O. The zero body has ended.
type body struct {
	state bodyState
	left  int64 // remaining bytes of the body, or of the chunk
	line  int   // bytes of the current line, or of the trailers
	digit int   // digits of the current size
}

// A bodyState says what is expected next.
type bodyState uint8

const (
	ended     bodyState = iota
	sized               // left bytes of a body with a Content-Length
	size                // the digits of a chunk's size
	extension           // a chunk extension, to the CR
	sizeLF              // the LF of that line
	data                // left bytes of a chunk
	dataCR
	dataLF
	trailer      // the start of a trailer line
	trailerName  // the rest of its name
	trailerValue // the rest after the colon
	trailerLF    // the LF that ends the line
	lastLF       // the LF of the last, empty line
)

// begin starts the body of a request. length is a [Head]'s Length.
func (b *body) begin(length int64) {
	switch {
	case length == Chunked:
		*b = body{state: size}
	case length > 0:
		*b = body{state: sized, left: length}
	default:
		*b = body{}
	}
}

// take returns the number of bytes of p that belong to the body. ErrBody is about the
// byte after them.
func (b *body) take(p []byte) (n int, err error) {
	for n < len(p) && b.state != ended {
		if b.state == sized || b.state == data {
			n += b.skip(len(p) - n)
			continue
		}
		if !b.next(p[n]) {
			return n, ErrBody
		}
		n++
	}
	return n, nil
}

// skip takes up to n bytes of data, and returns their number.
func (b *body) skip(n int) int {
	n = int(min(int64(n), b.left))
	if b.left -= int64(n); b.left == 0 {
		if b.state == sized {
			b.state = ended
		} else {
			b.state = dataCR
		}
	}
	return n
}

// next takes one byte of the framing, and reports whether it is valid. It is stricter than
// the grammar where servers differ: no white space around a size, no control characters in
// an extension, no line without a CR.
func (b *body) next(c byte) bool {
	b.line++
	switch b.state {
	case size:
		return b.nextOfSize(c)
	case extension:
		if c == '\r' {
			b.state = sizeLF
			return true
		}
		return (c >= ' ' || c == '\t') && c != 0x7f && b.line <= maxSizeLine
	case sizeLF:
		if b.left > 0 {
			b.state = data
		} else {
			b.state = trailer
		}
		b.line = 0
		return c == '\n'
	case dataCR:
		b.state = dataLF
		return c == '\r'
	case dataLF:
		b.state, b.line, b.digit = size, 0, 0
		return c == '\n'
	case trailer, trailerName, trailerValue:
		return b.nextOfTrailer(c)
	case trailerLF:
		b.state = trailer
		return c == '\n'
	case lastLF:
		if c == '\n' {
			b.state = ended
		}
		return c == '\n'
	default:
		return false
	}
}

// maxSizeDigits keeps the size of a chunk below 2^60.
const maxSizeDigits = 15

// nextOfSize takes one byte of a line with a size.
func (b *body) nextOfSize(c byte) bool {
	v, hex := hexDigit(c)
	switch {
	case hex && b.digit < maxSizeDigits:
		b.digit++
		b.left = b.left<<4 | v
		return true
	case b.digit == 0:
		return false
	case c == '\r':
		b.state = sizeLF
		return true
	case c == ';':
		b.state = extension
		return true
	}
	return false
}

func hexDigit(c byte) (int64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0'), true
	case 'a' <= c && c <= 'f':
		return int64(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return int64(c-'A') + 10, true
	}
	return 0, false
}

// nextOfTrailer takes one byte of a trailer line, or of the last, empty line.
func (b *body) nextOfTrailer(c byte) bool {
	switch {
	case b.line > maxTrailers:
		return false
	case b.state == trailerValue:
		if c == '\r' {
			b.state = trailerLF
			return true
		}
		return (c >= ' ' || c == '\t') && c != 0x7f
	case c == '\r':
		ok := b.state == trailer
		b.state = lastLF
		return ok
	case c == ':':
		ok := b.state == trailerName
		b.state = trailerValue
		return ok
	}
	b.state = trailerName
	return httpguts.IsTokenRune(rune(c))
}
