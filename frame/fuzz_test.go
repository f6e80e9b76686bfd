// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// FuzzDecoder holds the decoder to three things, whatever the input: how it is
// cut makes no difference; a decoder of gobwas/ws's parts that has the whole
// input agrees; and the messages, encoded again, come out the same.
func FuzzDecoder(f *testing.F) {
	f.Fuzz(func(t *testing.T, in, cuts []byte, max uint32, fromServer bool) {
		whole := decode(t, &Decoder{FromServer: fromServer}, int(max), in)
		if g := decode(t, &Decoder{FromServer: fromServer}, int(max), split(in, cuts)...); !g.equal(whole) {
			t.Errorf("cut at %v: %v\nwhole: %v", cuts, g, whole)
		}
		if g := decode(t, &Decoder{FromServer: fromServer}, int(max), ones(in)...); !g.equal(whole) {
			t.Errorf("byte by byte: %v\nwhole: %v", g, whole)
		}
		messages, code := model(in, int64(max), fromServer)
		if g := (got{messages, whole.err}); !g.equal(whole) || code != codeOf(whole.err) {
			t.Errorf("decoder: %v\nmodel: %v with close code %d", whole, g, code)
		}
		again := decode(t, &Decoder{}, math.MaxInt, encodeAll(whole.messages))
		if want := (got{messages: whole.messages}); !again.equal(want) {
			t.Errorf("decoded: %v\nencoded and decoded: %v", want, again)
		}
	})
}

func codeOf(err *Error) CloseCode {
	if err == nil {
		return 0
	}
	return err.Code
}

func encodeAll(messages []Message) (wire []byte) {
	for _, m := range messages {
		wire = AppendMasked(wire, m.Op, m.Payload, testMask)
	}
	return wire
}

// model decodes a whole input the plain way, with gobwas/ws's own reading and
// checking of headers. code is 0 when nothing is wrong.
func model(in []byte, max int64, fromServer bool) (messages []Message, code CloseCode) {
	r := bytes.NewReader(in)
	var begun Message
	state := ws.StateServerSide
	if fromServer {
		state = ws.StateClientSide
	}
	for {
		before := r.Len()
		h, err := ws.ReadHeader(r)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return messages, 0
		case err != nil, ws.CheckHeader(h, state) != nil, before-r.Len() != ws.HeaderSize(h):
			return messages, CloseProtocolError
		case h.OpCode.IsData() && h.Length > max-int64(len(begun.Payload)):
			return messages, CloseMessageTooBig
		}
		payload := make([]byte, min(h.Length, int64(r.Len())))
		_, _ = r.Read(payload)
		if h.Masked {
			for i := range payload {
				payload[i] ^= h.Mask[i%4]
			}
		}
		complete := int64(len(payload)) == h.Length
		if h.OpCode.IsControl() {
			if !complete {
				return messages, 0
			}
			m := Message{h.OpCode, payload}
			if code := modelClose(m); code != 0 {
				return messages, code
			}
			messages = append(messages, m)
			continue
		}
		if h.OpCode != cont {
			begun = Message{Op: h.OpCode}
			state = state.Set(ws.StateFragmented)
		}
		begun.Payload = append(begun.Payload, payload...)
		end := complete && h.Fin
		if begun.Op == OpText && !modelText(begun.Payload, end) {
			return messages, CloseInvalidData
		}
		if !complete {
			return messages, 0
		}
		if end {
			messages = append(messages, begun)
			begun = Message{}
			state = state.Clear(ws.StateFragmented)
		}
	}
}

// modelText reports whether b is text or, before its end, the front of one.
func modelText(b []byte, end bool) bool {
	if end {
		return utf8.Valid(b)
	}
	for len(b) > 0 && utf8.FullRune(b) {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return false
		}
		b = b[n:]
	}
	return true
}

// modelClose says what is wrong with a close frame.
func modelClose(m Message) CloseCode {
	if m.Op != OpClose || len(m.Payload) == 0 {
		return 0
	}
	code, reason := ws.ParseCloseFrameData(m.Payload)
	switch err := ws.CheckCloseFrameData(code, reason); {
	case len(m.Payload) == 1 || code > 4999:
		return CloseProtocolError
	case err == ws.ErrProtocolInvalidUTF8:
		return CloseInvalidData
	case 1012 <= code && code <= 1014: // registered since; gobwas/ws does not know them
		if !utf8.ValidString(reason) {
			return CloseInvalidData
		}
		return 0
	case err != nil:
		return CloseProtocolError
	}
	return 0
}

// FuzzClosePayload holds that a close frame's payload is refused or read, and
// that what was read makes the same payload again; and that a close frame made
// of any reason is one a decoder accepts.
func FuzzClosePayload(f *testing.F) {
	f.Fuzz(func(t *testing.T, payload []byte, reason string) {
		if err := checkClose(payload); err == nil {
			code, text := ParseClose(payload)
			if again := AppendCloseBody(nil, code, text); len(payload) <= MaxControlPayload && !bytes.Equal(again, payload) {
				t.Errorf("%x reads as %d %q, which makes %x", payload, code, text, again)
			}
		}
		made := AppendCloseBody(nil, CloseGoingAway, reason)
		if len(made) > MaxControlPayload {
			t.Fatalf("a close frame of %d bytes", len(made))
		}
		if err := checkClose(made); err != nil {
			t.Errorf("reason %q makes %x: %v", reason, made, err)
		}
		if cut := string(made[2:]); utf8.ValidString(reason) && !slices.Equal([]byte(cut), []byte(reason)[:len(cut)]) {
			t.Errorf("reason %q became %q", reason, cut)
		}
	})
}
