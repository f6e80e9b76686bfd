// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAppend(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		payload := strings.Repeat("a", n)
		got := Append([]byte("before"), OpText, []byte(payload))
		want := append([]byte("before"), serverFrame(OpText, true, payload)...)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: frame is not gobwas/ws's", n)
		}
		if size := HeaderSize(n); size+n != len(want)-len("before") {
			t.Errorf("HeaderSize(%d) = %d", n, size)
		}
	}
}

func TestAppendMasked(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := []byte(strings.Repeat("a", n))
		got := AppendMasked(nil, OpText, payload, testMask)
		if !bytes.Equal(got, final(OpText, string(payload))) {
			t.Errorf("%d bytes: frame is not gobwas/ws's", n)
		}
		if strings.Trim(string(payload), "a") != "" {
			t.Errorf("%d bytes: the caller's payload was masked", n)
		}
	}
}

// What the encoders write, the decoders read, and nothing else.
func TestEncodeThenDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.SampledFrom([]OpCode{OpText, OpBinary, OpPing, OpPong}).Draw(t, "op")
		payload := []byte(rapid.StringN(-1, -1, MaxControlPayload).Draw(t, "payload"))
		mask := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mask"))
		want := got{messages: []Message{{op, payload}}}

		d := Decoder{FromServer: true}
		if g := decode(t, &d, math.MaxInt, Append(nil, op, payload)); !g.equal(want) {
			t.Errorf("server's frame: got %v, want %v", g, want)
		}
		d = Decoder{}
		if g := decode(t, &d, math.MaxInt, AppendMasked(nil, op, payload, mask)); !g.equal(want) {
			t.Errorf("client's frame: got %v, want %v", g, want)
		}
	})
}

func TestAppendHeaderLeavesRoomForPayload(t *testing.T) {
	payload := []byte(strings.Repeat("p", 300))
	wire := make([]byte, 0, HeaderSize(len(payload))+len(payload))
	wire = append(AppendHeader(wire, OpText, len(payload)), payload...)
	if !bytes.Equal(wire, Append(nil, OpText, payload)) || len(wire) != cap(wire) {
		t.Errorf("header and payload make %d bytes in %d", len(wire), cap(wire))
	}
}

func TestCloseFrames(t *testing.T) {
	long := strings.Repeat("a", 122)
	for _, tt := range []struct {
		name       string
		code       CloseCode
		reason     string
		wantReason string
	}{
		{"no reason", CloseNormal, "", ""},
		{"reason", CloseTryAgainLater, "slow consumer", "slow consumer"},
		{"registered since the RFC", CloseBadGateway, "", ""},
		{"an application's", 3000, "", ""},
		{"private", 4999, "", ""},
		{"no code", CloseNoStatus, "is dropped", ""},
		{"reason that just fits", CloseNormal, long + "b", long + "b"},
		{"reason too long", CloseNormal, long + "bc", long + "b"},
		{"cut before a rune of 2 bytes", CloseNormal, long + "é", long},
		{"cut before a rune of 4 bytes", CloseNormal, long[:120] + "😀", long[:120]},
		{"reason that is not UTF-8", CloseNormal, "a\xffb", "a\uFFFDb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decoder{FromServer: true}
			g := decode(t, &d, 0, AppendClose(nil, tt.code, tt.reason))
			if g.err != nil || len(g.messages) != 1 {
				t.Fatal(g)
			}
			code, reason := ParseClose(g.messages[0].Payload)
			if code != tt.code || reason != tt.wantReason {
				t.Errorf("got %d %q, want %d %q", code, reason, tt.code, tt.wantReason)
			}
		})
	}
}

// A close frame can be made with exactly the codes that a peer may send.
func TestCloseCodes(t *testing.T) {
	var sendable []CloseCode // the first and last of each run
	for c := CloseCode(1); c < 6000; c++ {
		if c.sendable() != (c - 1).sendable() {
			sendable = append(sendable, c)
		}
	}
	want := []CloseCode{1000, 1004, 1007, 1015, 3000, 5000}
	if diff := cmp.Diff(want, sendable); diff != "" {
		t.Errorf("codes begin and stop being sendable at (-want +got):\n%s", diff)
	}
	if CloseCode(math.MaxUint16).sendable() {
		t.Error("65535 is sendable")
	}
}

func TestBugsPanic(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func()
	}{
		{"long ping", func() { Append(nil, OpPing, make([]byte, 126)) }},
		{"close code that is never sent", func() { AppendClose(nil, CloseAbnormal, "") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("panicked with %q", s)
				}
			}()
			tt.do()
		})
	}
}

func TestParseCloseWithoutCode(t *testing.T) {
	if code, reason := ParseClose(nil); code != CloseNoStatus || reason != "" {
		t.Errorf("got %d %q", code, reason)
	}
}

func TestErrorText(t *testing.T) {
	var err error = protocolError("reserved opcode")
	if got, want := err.Error(), "reserved opcode (close code 1002)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// wholeRunes says of every front of a text where its last whole rune ends.
func TestWholeRunes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		end := rapid.IntRange(0, len(s)).Draw(t, "end")
		want := 0
		for i, r := range s[:end] {
			if i+utf8.RuneLen(r) <= end && utf8.ValidString(s[:i+utf8.RuneLen(r)]) {
				want = i + utf8.RuneLen(r)
			}
		}
		if n, ok := wholeRunes([]byte(s[:end])); n != want || !ok {
			t.Errorf("wholeRunes(%q) = %d, %v, want %d", s[:end], n, ok, want)
		}
	})
}

// HeaderSize must agree with gobwas/ws, which check compares lengths with.
func TestHeaderSizes(t *testing.T) {
	for n, want := range map[int]int{0: 2, 125: 2, 126: 4, 65535: 4, 65536: 10, math.MaxInt: 10} {
		if got := HeaderSize(n); got != want {
			t.Errorf("HeaderSize(%d) = %d, want %d", n, got, want)
		}
		h, _ := consumeHeader(append(AppendHeader(nil, OpBinary, n), make([]byte, ws.MaxHeaderSize)...))
		if h.size != want || h.Length != int64(n) {
			t.Errorf("header of %d bytes reads as %+v", n, h)
		}
	}
}
