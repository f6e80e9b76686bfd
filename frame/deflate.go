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

// This file is permessage-deflate (RFC 7692) without context takeover: every message is
// compressed by itself, so nothing is kept between two messages.

const (
	// rsv1 in a header's Rsv marks a compressed message (RFC 7692 section 6).
	rsv1 = 0b100
	// rsv1Bit is the same bit in the first byte of a frame.
	rsv1Bit = 0x40

	// flushTail is removed by a sender from the end of a message (section 7.2.1).
	flushTail = "\x00\x00\xff\xff"
	// lastBlock is an empty block that ends the stream for the reader.
	lastBlock = "\x01\x00\x00\xff\xff"
	// maxStreams limits how often a message can start a new deflate stream after a
	// block that is marked as the last (section 7.2.3.4). Each costs the reader its
	// tables.
	maxStreams = 16
)

// AppendDeflated appends a server's frame that is a whole compressed message, and
// reports true, if that is shorter than what [Append] makes. Otherwise it returns dst
// unchanged. Any goroutine can call it.
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

// A deflater compresses one message at a time. It takes about 1 MB, so deflaters are
// pooled and belong to no connection.
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

// inflate returns the payload of a compressed message in memory of its own. It never
// holds more than max+1 bytes of it, however large it would become.
func inflate(payload []byte, max int) ([]byte, *Error) {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	return f.inflate(payload, max)
}

// An inflater decompresses one message at a time. Inflaters are pooled.
type inflater struct {
	r   io.ReadCloser // also a flate.Resetter
	in  source
	out []byte // scratch
}

var inflaters = sync.Pool{New: func() any { return &inflater{r: flate.NewReader(nil)} }}

// maxScratch is how much scratch memory an idle inflater keeps, in bytes.
const maxScratch = 128 << 10

// inflate is the function inflate on one inflater. A message can be several deflate
// streams (section 7.2.3.4).
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

// stream reads one deflate stream, up to its last block.
func (f *inflater) stream(max int) *Error {
	bound := max
	if bound < math.MaxInt {
		bound++ // one byte more shows that the message is too big
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

// corrupt is the error for bytes that are no deflate stream: close code 1007 (RFC 6455
// section 7.4.1).
func corrupt() *Error { return &Error{CloseInvalidData, "compressed message is corrupt"} }

// A source is the bytes of a message followed by the ending that the reader needs. It
// has ReadByte so that flate reads no further than a last block.
type source struct {
	rest, tail []byte
}

// ending is what the sender has removed from a message, and a last block.
var ending = []byte(flushTail + lastBlock)

func (s *source) reset(b []byte) { s.rest, s.tail = b, ending }

// left returns how many bytes are unread.
func (s *source) left() int { return len(s.rest) + len(s.tail) }

// next sets rest to what is to be read next. It reports false at the end.
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
