// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// check reports whether RFC 6455 allows a frame with header h at this point, and
// whether its message stays within max bytes. The section of each rule stands beside
// it.
func (d *Decoder) check(h header, max int) *Error {
	switch {
	case h.Rsv&^d.reserved(h) != 0: // 5.2: MUST be 0 unless an extension is negotiated
		return protocolError("reserved bit is set")
	case h.OpCode.IsReserved(): // 5.2
		return protocolError("reserved opcode")
	case !d.FromServer && !h.Masked: // 5.1: MUST close on an unmasked frame
		return protocolError("frame of a client is not masked")
	case d.FromServer && h.Masked: // 5.1
		return protocolError("frame of a server is masked")
	case h.Length < 0: // 5.2: the most significant bit MUST be 0
		return protocolError("length with the highest bit set")
	case h.size != ws.HeaderSize(h.Header): // 5.2: the minimal number of bytes MUST be used
		return protocolError("length in more bytes than it needs")
	case h.OpCode.IsControl():
		return checkControl(h)
	default:
		return d.checkData(h, max)
	}
}

// reserved returns the reserved bits that can be set in a frame: RSV1 on the first
// frame of a data message, if compression is negotiated (RFC 7692 section 6).
func (d *Decoder) reserved(h header) byte {
	if d.Deflate && (h.OpCode == OpText || h.OpCode == OpBinary) {
		return rsv1
	}
	return 0
}

// checkControl checks the header of a control frame.
func checkControl(h header) *Error {
	switch {
	case !h.Fin: // 5.5: MUST NOT be fragmented
		return protocolError("control frame is fragmented")
	case h.Length > MaxControlPayload: // 5.5
		return protocolError("control frame with more than 125 bytes")
	}
	return nil
}

// checkData checks the header of a data frame against the message begun, if any.
func (d *Decoder) checkData(h header, max int) *Error {
	begun, got := false, 0
	if p := d.partial; p != nil {
		begun, got = p.op != 0, len(p.data)
	}
	switch {
	case !begun && h.OpCode == ws.OpContinuation: // 5.4
		return protocolError("continuation of no message")
	case begun && h.OpCode != ws.OpContinuation: // 5.4: fragments MUST NOT be interleaved
		return protocolError("message begins inside another")
	case h.Length > int64(max-got): // 7.4.1, before any of it has arrived
		return &Error{CloseMessageTooBig, "message is too big"}
	}
	return nil
}

// checkPayload checks the payload of a whole message.
func checkPayload(m Message) *Error {
	switch {
	case m.Op == OpClose:
		return checkClose(m.Payload)
	case m.Op == OpText && !utf8.Valid(m.Payload): // 8.1
		return notText()
	}
	return nil
}

// notText is the error for text that is not UTF-8: close code 1007 (section 8.1).
func notText() *Error { return &Error{CloseInvalidData, "text is not UTF-8"} }
