// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	readSize    = 16 << 10 // bytes of one read from the connection
	keepBuffer  = 64 << 10 // a message buffer with a larger capacity is not reused
	maxReason   = ws.MaxControlFramePayloadSize - 2
	length16Max = 1<<16 - 1 // largest length in the 16-bit field (RFC 6455 section 5.2)
)

// A message is a data message with its fragments joined, or a control frame.
type message struct {
	op      ws.OpCode
	payload []byte // valid until the next read; UTF-8 if op is text
}

// A protocolError is a violation of RFC 6455 by the server. The connection is closed with its
// code.
type protocolError struct {
	code   CloseCode
	reason string
}

func (e *protocolError) Error() string { return fmt.Sprintf("%s (close code %d)", e.reason, e.code) }

func violation(reason string) error { return &protocolError{CloseProtocolError, reason} }

// A frameReader reads the messages of one server. It belongs to one goroutine.
//
// Its memory grows with the bytes received, never with the length that a header announces.
type frameReader struct {
	in    *bufio.Reader
	limit int // bytes of one data message

	op      ws.OpCode    // of the message whose fragments are in data; 0 if none
	data    bytes.Buffer // payload of the data message so far
	control bytes.Buffer // payload of the current control frame
}

func newFrameReader(in io.Reader, limit int) *frameReader {
	return &frameReader{in: bufio.NewReaderSize(in, readSize), limit: limit}
}

// next returns the next data message or control frame. Its error is a [*protocolError], or
// what the connection returned; [io.EOF] is always [io.ErrUnexpectedEOF], because a WebSocket
// connection ends with a close frame.
func (r *frameReader) next() (message, error) {
	if r.op == 0 {
		r.data.Reset()
		if r.data.Cap() > keepBuffer {
			r.data = bytes.Buffer{}
		}
	}
	for {
		h, err := r.header()
		if err != nil {
			return message{}, err
		}
		if h.OpCode.IsControl() {
			r.control.Reset()
			if err := r.payload(&r.control, h.Length); err != nil {
				return message{}, err
			}
			m := message{h.OpCode, r.control.Bytes()}
			return m, checkControl(m)
		}
		if h.OpCode != ws.OpContinuation {
			r.op = h.OpCode
		}
		if err := r.payload(&r.data, h.Length); err != nil {
			return message{}, err
		}
		if h.Fin {
			m := message{r.op, r.data.Bytes()}
			r.op = 0
			return m, checkData(m)
		}
	}
}

// header reads and checks a frame header.
func (r *frameReader) header() (ws.Header, error) {
	first, err := r.in.Peek(ws.MinHeaderSize)
	if err != nil {
		return ws.Header{}, unexpectedEOF(err)
	}
	field := first[1] & 0x7f // 126 and 127 announce a 16-bit and a 64-bit length
	h, err := ws.ReadHeader(r.in)
	switch {
	case err == ws.ErrHeaderLengthMSB:
		return h, violation("length with the highest bit set")
	case err != nil:
		return h, unexpectedEOF(err)
	}
	state := ws.StateClientSide
	if r.op != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return h, violation(err.Error())
	}
	if field == 126 && h.Length < 126 || field == 127 && h.Length <= length16Max { // section 5.2
		return h, violation("length in more bytes than it needs")
	}
	if !h.OpCode.IsControl() && h.Length > int64(r.limit-r.data.Len()) {
		return h, &protocolError{CloseMessageTooBig, "message is too big"}
	}
	return h, nil
}

// payload appends the next n bytes to dst.
func (r *frameReader) payload(dst *bytes.Buffer, n int64) error {
	_, err := io.CopyN(dst, r.in, n)
	return unexpectedEOF(err)
}

func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkData checks a complete data message.
func checkData(m message) error {
	if m.op == ws.OpText && !utf8.Valid(m.payload) { // section 8.1
		return &protocolError{CloseInvalidData, "text is not UTF-8"}
	}
	return nil
}

// checkControl checks the payload of a control frame.
func checkControl(m message) error {
	if m.op != ws.OpClose || len(m.payload) == 0 {
		return nil
	}
	code, reason := parseClose(m.payload)
	switch {
	case len(m.payload) == 1: // section 5.5.1: a body begins with a 2-byte code
		return violation("close frame with half a code")
	case !code.sendable():
		return violation("close frame with a code that must not be sent")
	case !utf8.ValidString(reason):
		return &protocolError{CloseInvalidData, "close reason is not UTF-8"}
	}
	return nil
}

// parseClose returns the code and the reason in the payload of a close frame.
func parseClose(payload []byte) (CloseCode, string) {
	code, reason := ws.ParseCloseFrameData(payload)
	if len(payload) < 2 {
		return CloseNoStatus, "" // section 7.1.5
	}
	return CloseCode(code), reason
}

// closeBody returns the payload of a close frame. A reason that does not fit is cut;
// [CloseNoStatus] makes an empty payload.
func closeBody(code CloseCode, reason string) []byte {
	if code == CloseNoStatus {
		return nil
	}
	return ws.NewCloseFrameBody(ws.StatusCode(code), truncate(reason, maxReason))
}
