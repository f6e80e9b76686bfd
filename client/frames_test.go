// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/gatecast/gatecast/frame"

	"github.com/gobwas/ws"
)

const fuzzLimit = 1 << 10 // bytes of a message

// FuzzFrames compares the client's reader with the server's decoder: both read the same messages
// from the same bytes, and refuse the same bytes with the same close code.
//
// One difference is allowed: the decoder refuses invalid UTF-8 at the first bad byte, the reader
// at the end of the message. So the reader can see other frames and errors first.
func FuzzFrames(f *testing.F) {
	text := frame.Append(nil, frame.OpText, []byte("héllo"))
	for _, seed := range [][]byte{
		text,
		{0x01, 2, 'a', 'b', 0x89, 1, 'p', 0x80, 1, 'c'}, // fragments around a ping
		{0x81, 126, 0, 1, 'a'},                          // length in more bytes than it needs
		{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'a'},
		{0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 1},
		{0x81, 126, 4, 1}, // larger than fuzzLimit
		{0x01, 1, 'a', 0x81, 1, 'b'},
		{0x80, 0},
		{0xc1, 1, 'a'},
		{0x83, 0},
		{0x89, 126, 0, 126},
		{0x09, 0},
		{0x81, 2, 0xc3, 0x28},
		{0x82, 2, 0xc3, 0x28},
		{0x88, 1, 3},
		{0x88, 2, 3, 0xed}, // 1005
		{0x88, 4, 3, 0xf5, 'o', 0xff},
		frame.AppendMasked(nil, frame.OpText, []byte("a"), [4]byte{1, 2, 3, 4}),
		frame.AppendClose(text[:len(text):len(text)], frame.CloseTryAgainLater, "slow consumer"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newFrameReader(iotest.OneByteReader(bytes.NewReader(b)), fuzzLimit)
		d := frame.Decoder{FromServer: true}
		for rest := bytes.Clone(b); ; {
			got, err := r.next()
			want, n, wantErr := d.Next(rest, fuzzLimit)
			rest = rest[n:]
			if e, ok := errors.AsType[*frame.Error](wantErr); ok && e.Code == frame.CloseInvalidData {
				return // the allowed difference
			}
			if err != nil {
				compareErrors(t, err, want, wantErr)
				return
			}
			if wantErr != nil || got.op != want.Op || !bytes.Equal(got.payload, want.Payload) {
				t.Fatalf("read opcode %d %q, want %d %q, %v", got.op, got.payload, want.Op, want.Payload, wantErr)
			}
		}
	})
}

func compareErrors(t *testing.T, err error, want frame.Message, wantErr error) {
	t.Helper()
	e, refused := errors.AsType[*protocolError](err)
	w, wantRefused := errors.AsType[*frame.Error](wantErr)
	switch {
	case !refused && err != io.ErrUnexpectedEOF:
		t.Errorf("got %v", err)
	case refused != wantRefused || want.Op != 0:
		t.Errorf("got %v, want opcode %d, %v", err, want.Op, wantErr)
	case refused && frame.CloseCode(e.code) != w.Code:
		t.Errorf("got %v, want %v", e, w)
	}
}

// The reader allocates for bytes received, not for the length that a header announces.
func TestAnnouncedLengthIsNotAllocated(t *testing.T) {
	r := newFrameReader(bytes.NewReader([]byte{0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 'a'}), 1<<31-1)
	if _, err := r.next(); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if c := r.data.Cap(); c > keepBuffer {
		t.Errorf("the buffer has %d bytes after 1 byte was received", c)
	}
}

func TestCloseBody(t *testing.T) {
	long := string(bytes.Repeat([]byte("é"), 100))
	for _, tt := range []struct {
		code   CloseCode
		reason string
		want   string
	}{
		{CloseNormal, "", "\x03\xe8"},
		{CloseInvalidData, "no", "\x03\xefno"},
		{CloseNoStatus, "dropped", ""},
		{CloseProtocolError, long, "\x03\xea" + long[:122]}, // 123 bytes would cut a rune
	} {
		got := closeBody(tt.code, tt.reason)
		if string(got) != tt.want {
			t.Errorf("closeBody(%d, %q) = %q, want %q", tt.code, tt.reason, got, tt.want)
		}
		if len(got) > ws.MaxControlFramePayloadSize {
			t.Errorf("closeBody(%d, …) has %d bytes", tt.code, len(got))
		}
	}
}
