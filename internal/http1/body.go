// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"errors"

	"golang.org/x/net/http/httpguts"
)

// ErrBody says that a body is not framed as RFC 9112 section 7.1 has it. What
// follows it on the connection is not read.
var ErrBody = errors.New("http1: malformed chunks")

// maxSizeLine bounds the line of a chunk's size, and maxTrailers the lines that
// follow the last chunk, in bytes.
const (
	maxSizeLine = 256
	maxTrailers = MaxHead
)

// A body follows the framing of a request's body, to know where it ends. The zero
// body has ended.
type body struct {
	state bodyState
	left  int64 // bytes of the body, or of the chunk, still to come
	line  int   // bytes of the line or of the trailers so far
	digit int   // digits of the size so far
}

// A bodyState says what comes next.
type bodyState uint8

const (
	ended     bodyState = iota
	sized               // left bytes, then the end
	size                // the digits of a chunk's size
	extension           // what follows them
	sizeLF              // the LF of that line
	data                // left bytes of a chunk
	dataCR
	dataLF
	trailer      // the beginning of a line of the trailers
	trailerName  // the rest of a field's name
	trailerValue // what follows the colon
	trailerLF    // the LF that ends the line
	lastLF       // the LF of the last, empty line
)

// begin begins the body of a request.
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

// take returns how many bytes of p are of the body. ErrBody is about the byte
// that follows them.
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

// skip takes up to n bytes of data.
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

// next takes one byte of what frames the data. It is stricter than the grammar
// where servers differ: no white space around a size, no control characters in an
// extension, no line without a CR.
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

// maxSizeDigits keeps a chunk's size below 2^60.
const maxSizeDigits = 15

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
