// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
)

// This file is permessage-deflate, RFC 7692, without context takeover: every
// message is compressed by itself, so that nothing is kept between two.

const (
	// rsv1 in a header's Rsv marks a compressed message (7692, 6).
	rsv1 = 0b100
	// rsv1Bit is the same in a frame's first byte.
	rsv1Bit = 0x40

	// flushTail is what a sender takes off a message's end (7692, 7.2.1).
	flushTail = "\x00\x00\xff\xff"
	// lastBlock is an empty block that ends the stream for the reader.
	lastBlock = "\x01\x00\x00\xff\xff"
	// maxStreams is how many times a message may begin anew behind a block that
	// says it is the last (7692, 7.2.3.4): each costs the reader its tables.
	maxStreams = 16
)

// AppendDeflated appends a server's frame that is a whole compressed message, and
// reports whether that is shorter than what [Append] makes; if not, dst is
// returned as it was. Any goroutine may call it.
func AppendDeflated(dst []byte, op OpCode, payload []byte) ([]byte, bool) {
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	b := d.deflate(payload)
	if HeaderSize(len(b))+len(b) >= HeaderSize(len(payload))+len(payload) {
		return dst, false
	}
	start := len(dst)
	dst = Append(dst, op, b)
	dst[start] |= rsv1Bit
	return dst, true
}

// A deflater compresses one message at a time. It weighs about a megabyte, so it
// is shared and not a connection's.
type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic("BUG: a level that flate does not have: " + err.Error())
	}
	return &deflater{w: w}
}}

// deflate returns payload compressed, valid until the next call.
func (d *deflater) deflate(payload []byte) []byte {
	d.out.Reset()
	d.w.Reset(&d.out)
	if _, err := d.w.Write(payload); err != nil {
		panic("BUG: a buffer does not take bytes: " + err.Error())
	}
	if err := d.w.Flush(); err != nil {
		panic("BUG: a buffer does not take bytes: " + err.Error())
	}
	return bytes.TrimSuffix(d.out.Bytes(), []byte(flushTail))
}

// inflate returns a compressed message's payload, in memory of its own. It holds
// no more than max bytes and one of it, whatever they would become.
func inflate(payload []byte, max int) ([]byte, *Error) {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	return f.inflate(payload, max)
}

// An inflater decompresses one message at a time.
type inflater struct {
	r   io.ReadCloser // also a flate.Resetter
	in  source
	out []byte // scratch
}

var inflaters = sync.Pool{New: func() any { return &inflater{r: flate.NewReader(nil)} }}

// maxScratch is how much scratch an idle inflater keeps, in bytes.
const maxScratch = 128 << 10

func (f *inflater) inflate(payload []byte, max int) (_ []byte, fail *Error) {
	f.in.reset(payload)
	f.out = f.out[:0]
	for streams := 0; f.in.left() > 0 && fail == nil; streams++ {
		if streams == maxStreams {
			fail = corrupt()
			break
		}
		if err := f.r.(flate.Resetter).Reset(&f.in, nil); err != nil {
			panic("BUG: a flate reader does not reset: " + err.Error())
		}
		fail = f.stream(max)
	}
	out := bytes.Clone(f.out)
	f.in = source{} // do not keep the message alive
	if cap(f.out) > maxScratch {
		f.out = nil
	}
	if fail != nil {
		return nil, fail
	}
	return out, nil
}

// stream reads up to a last block.
func (f *inflater) stream(max int) *Error {
	bound := max
	if bound < math.MaxInt {
		bound++ // one byte too many shows that it is too big
	}
	for {
		if len(f.out) == cap(f.out) {
			f.out = slices.Grow(f.out, min(cap(f.out)+4096, bound-len(f.out)))
		}
		room := min(cap(f.out), bound) - len(f.out)
		n, err := f.r.Read(f.out[len(f.out) : len(f.out)+room])
		f.out = f.out[:len(f.out)+n]
		switch {
		case len(f.out) > max:
			return &Error{CloseMessageTooBig, "message is too big"}
		case err == io.EOF:
			return nil
		case err != nil:
			return corrupt()
		}
	}
}

func corrupt() *Error { return &Error{CloseInvalidData, "compressed message is corrupt"} }

// A source is a message's bytes with the ending that the reader needs. It has
// ReadByte, so that flate reads no further than a last block.
type source struct {
	rest, tail []byte
}

var ending = []byte(flushTail + lastBlock)

func (s *source) reset(b []byte) { s.rest, s.tail = b, ending }

// left returns how many bytes are unread.
func (s *source) left() int { return len(s.rest) + len(s.tail) }

// next makes rest what is to be read next.
func (s *source) next() bool {
	if len(s.rest) == 0 {
		s.rest, s.tail = s.tail, nil
	}
	return len(s.rest) > 0
}

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	if !s.next() {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// ReadByte implements [io.ByteReader].
func (s *source) ReadByte() (byte, error) {
	if !s.next() {
		return 0, io.EOF
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b, nil
}
