// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/gatecast/gatecast/test/testenv"

	"pgregory.net/rapid"
)

func text(s string) Message { return Message{OpText, []byte(s)} }

// accepted are inputs that RFC 6455 allows, by its sections.
var accepted = []struct {
	name string
	in   []byte
	want []Message
}{
	{"5.7 a masked text", []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, []Message{text("Hello")}},
	{"5.2 empty text", final(OpText, ""), []Message{text("")}},
	{"5.2 125 bytes", final(OpText, strings.Repeat("a", 125)), []Message{text(strings.Repeat("a", 125))}},
	{"5.2 126 bytes", final(OpText, strings.Repeat("b", 126)), []Message{text(strings.Repeat("b", 126))}},
	{"5.2 65535 bytes", final(OpText, strings.Repeat("c", 65535)), []Message{text(strings.Repeat("c", 65535))}},
	{"5.2 65536 bytes", final(OpText, strings.Repeat("d", 65536)), []Message{text(strings.Repeat("d", 65536))}},
	{"5.6 binary that is no UTF-8", final(OpBinary, "\xff\xfe"), []Message{{OpBinary, []byte("\xff\xfe")}}},
	{"5.6 two messages", join(final(OpText, "one"), final(OpText, "two")), []Message{text("one"), text("two")}},
	{"5.4 three fragments", join(part(OpText, "a"), part(cont, "b"), final(cont, "c")), []Message{text("abc")}},
	{"5.4 empty fragments", join(part(OpText, ""), part(cont, ""), final(cont, "")), []Message{text("")}},
	{"5.4 ping between fragments", join(part(OpText, "a"), final(OpPing, "p"), final(cont, "b")),
		[]Message{{OpPing, []byte("p")}, text("ab")}},
	{"5.4 two pings between fragments", join(part(OpText, "a"), final(OpPing, "p"), final(OpPing, "q"), final(cont, "b")),
		[]Message{{OpPing, []byte("p")}, {OpPing, []byte("q")}, text("ab")}},
	{"5.4 a message after fragments", join(part(OpBinary, "a"), final(cont, "b"), final(OpText, "c")),
		[]Message{{OpBinary, []byte("ab")}, text("c")}},
	{"5.5.2 ping of 125 bytes", final(OpPing, strings.Repeat("p", 125)), []Message{{OpPing, []byte(strings.Repeat("p", 125))}}},
	{"5.5.3 pong nobody asked for", final(OpPong, ""), []Message{{OpPong, nil}}},
	{"5.5.1 close without a code", final(OpClose, ""), []Message{{OpClose, nil}}},
	{"5.5.1 close with a code", final(OpClose, closing(1000, "")), []Message{{OpClose, []byte{3, 0xe8}}}},
	{"5.5.1 close with a reason", final(OpClose, closing(4999, "añ")), []Message{{OpClose, []byte(closing(4999, "añ"))}}},
	{"8.1 every length of rune", final(OpText, "aé€😀"), []Message{text("aé€😀")}},
	{"8.1 rune over two fragments", join(part(OpText, "\xf0\x9f"), final(cont, "\x98\x80")), []Message{text("😀")}},
	{"8.1 rune around a ping", join(part(OpText, "\xe2"), final(OpPing, ""), part(cont, "\x82"), final(cont, "\xac")),
		[]Message{{OpPing, nil}, text("€")}},
}

func TestAccepted(t *testing.T) {
	for _, tt := range accepted {
		t.Run(tt.name, func(t *testing.T) {
			want := got{messages: tt.want}
			var whole, bytewise Decoder
			if g := decode(t, &whole, math.MaxInt, tt.in); !g.equal(want) {
				t.Errorf("got %v, want %v", g, want)
			}
			if g := decode(t, &bytewise, math.MaxInt, ones(tt.in)...); !g.equal(want) {
				t.Errorf("byte by byte: got %v, want %v", g, want)
			}
			if whole.partial != nil || bytewise.partial != nil {
				t.Error("memory is held between messages")
			}
		})
	}
}

func set(bits byte) func(byte) byte { return func(b byte) byte { return b | bits } }

// refused are inputs that RFC 6455 forbids, by its sections. Each must be
// refused at its last byte, so that none of them says more than it needs to.
var refused = []struct {
	name string
	in   []byte
	want CloseCode
}{
	{"5.1 no mask", []byte{0x81, 0x00}, CloseProtocolError},
	{"5.2 RSV1", patch(final(OpText, ""), 0, set(0x40)), CloseProtocolError},
	{"5.2 RSV2", patch(final(OpText, ""), 0, set(0x20)), CloseProtocolError},
	{"5.2 RSV3", patch(final(OpPing, ""), 0, set(0x10)), CloseProtocolError},
	{"5.2 opcode 3", final(3, ""), CloseProtocolError},
	{"5.2 opcode 7", final(7, ""), CloseProtocolError},
	{"5.2 opcode 11", final(11, ""), CloseProtocolError},
	{"5.2 opcode 15", final(15, ""), CloseProtocolError},
	{"5.2 125 in 16 bits", []byte{0x81, 0xfe, 0, 125, 1, 2, 3, 4}, CloseProtocolError},
	{"5.2 65535 in 64 bits", []byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}, CloseProtocolError},
	{"5.2 length with the highest bit", []byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, CloseProtocolError},
	{"5.2 the greatest length", []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, CloseMessageTooBig},
	{"5.4 continuation of nothing", final(cont, ""), CloseProtocolError},
	{"5.4 continuation after the end", join(part(OpText, ""), final(cont, ""), part(cont, "")), CloseProtocolError},
	{"5.4 text inside a text", join(part(OpText, "a"), final(OpText, "")), CloseProtocolError},
	{"5.4 binary inside an empty text", join(part(OpText, ""), part(OpBinary, "")), CloseProtocolError},
	{"5.5 fragmented ping", part(OpPing, ""), CloseProtocolError},
	{"5.5 fragmented close", part(OpClose, ""), CloseProtocolError},
	{"5.5 ping of 126 bytes", final(OpPing, strings.Repeat("p", 126))[:8], CloseProtocolError},
	{"5.5.1 close with one byte", final(OpClose, "\x03"), CloseProtocolError},
	{"7.4.2 close 0", final(OpClose, closing(0, "")), CloseProtocolError},
	{"7.4.2 close 999", final(OpClose, closing(999, "")), CloseProtocolError},
	{"7.4.1 close 1004", final(OpClose, closing(1004, "")), CloseProtocolError},
	{"7.4.1 close 1005", final(OpClose, closing(1005, "")), CloseProtocolError},
	{"7.4.1 close 1006", final(OpClose, closing(1006, "")), CloseProtocolError},
	{"7.4.1 close 1015", final(OpClose, closing(1015, "")), CloseProtocolError},
	{"7.4.2 close 1016", final(OpClose, closing(1016, "")), CloseProtocolError},
	{"7.4.2 close 2999", final(OpClose, closing(2999, "")), CloseProtocolError},
	{"7.4.2 close 5000", final(OpClose, closing(5000, "")), CloseProtocolError},
	{"5.5.1 reason is not UTF-8", final(OpClose, closing(1000, "\xff")), CloseInvalidData},
	{"5.5.1 reason ends inside a rune", final(OpClose, closing(1000, "\xe2\x82")), CloseInvalidData},
	{"8.1 text is not UTF-8", final(OpText, "\xff"), CloseInvalidData},
	{"8.1 overlong", final(OpText, "\xc0"), CloseInvalidData},
	{"8.1 surrogate, in mid-frame", final(OpText, "aa\xed\xa0\x80zzzz")[:6+4], CloseInvalidData},
	{"8.1 above U+10FFFF, in mid-frame", final(OpText, "\xf4\x90\x80\x80")[:6+2], CloseInvalidData},
	{"8.1 text ends inside a rune", final(OpText, "a\xf0\x9f\x98"), CloseInvalidData},
	{"8.1 fragments end inside a rune", join(part(OpText, "\xe2"), final(cont, "\x82")), CloseInvalidData},
	{"8.1 second fragment breaks a rune", join(part(OpText, "\xe2"), part(cont, "a")), CloseInvalidData},
	{"8.1 first fragment is not UTF-8", part(OpText, "\x80"), CloseInvalidData},
}

func TestRefused(t *testing.T) {
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			for _, pieces := range [][][]byte{{tt.in}, ones(tt.in)} {
				var d Decoder
				g := decode(t, &d, 1<<20, pieces...)
				if g.err == nil || g.err.Code != tt.want {
					t.Errorf("in %d pieces: got %v, want close code %d", len(pieces), g, tt.want)
				}
			}
			var d Decoder
			if g := decode(t, &d, 1<<20, tt.in[:len(tt.in)-1]); g.err != nil {
				t.Errorf("refused before its last byte: %v", g)
			}
		})
	}
}

// Of several things wrong with a header, the reason names the plainest.
func TestReasonOfNegativeLength(t *testing.T) {
	in := []byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}
	want := got{err: protocolError("length with the highest bit set")}
	if g := decode(t, &Decoder{}, 100, in); !g.equal(want) {
		t.Errorf("got %v, want %v", g, want)
	}
}

func TestServerFrames(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want got
	}{
		{"not masked", serverFrame(OpText, true, "Hello"), got{messages: []Message{text("Hello")}}},
		{"fragments", join(serverFrame(OpText, false, "He"), serverFrame(cont, true, "llo")), got{messages: []Message{text("Hello")}}},
		{"5.1 masked", final(OpText, "a"), got{err: protocolError("frame of a server is masked")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pieces := range [][][]byte{{tt.in}, ones(tt.in)} {
				d := Decoder{FromServer: true}
				if g := decode(t, &d, 100, pieces...); !g.equal(tt.want) {
					t.Errorf("got %v, want %v", g, tt.want)
				}
			}
		})
	}
}

func TestMax(t *testing.T) {
	tooBig := &Error{CloseMessageTooBig, "message is too big"}
	for _, tt := range []struct {
		name string
		in   []byte
		want got
	}{
		{"as much as allowed", final(OpText, "12345678"), got{messages: []Message{text("12345678")}}},
		{"one more", final(OpText, "123456789")[:6], got{err: tooBig}},
		{"over fragments, as allowed", join(part(OpText, "1234"), final(cont, "5678")), got{messages: []Message{text("12345678")}}},
		{"over fragments, one more", join(part(OpText, "1234"), final(cont, "56789")[:6]), got{err: tooBig}},
		{"control frames have their own", final(OpPing, "123456789"), got{messages: []Message{{OpPing, []byte("123456789")}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d Decoder
			if g := decode(t, &d, 8, tt.in); !g.equal(tt.want) {
				t.Errorf("got %v, want %v", g, tt.want)
			}
		})
	}
}

func TestStaysFailed(t *testing.T) {
	var d Decoder
	bad := final(OpText, "\xff and more")
	if g := decode(t, &d, 100, bad[:5]); g.err != nil {
		t.Fatal(g)
	}
	_, _, first := d.Next(bad[5:8], 100)
	_, n, second := d.Next(final(OpText, "fine"), 100)
	if first == nil || second != first || n != 0 {
		t.Errorf("after %v: took %d bytes with error %v", first, n, second)
	}
	if d.partial != nil {
		t.Error("a failed decoder holds memory")
	}
}

func TestPayloadLiesInInput(t *testing.T) {
	in := join(part(OpText, "a"), final(OpPing, "ping"), final(cont, "b"))
	var d Decoder
	m, n, err := d.Next(in, 100)
	if err != nil || m.Op != OpPing {
		t.Fatalf("got %v, %v", m, err)
	}
	if &m.Payload[0] != &in[n-4] {
		t.Error("payload of a whole frame was copied")
	}
	rest := slices.Clone(in[n:])
	_ = append(m.Payload, '!')
	if !bytes.Equal(in[n:], rest) {
		t.Error("payload can grow into the bytes after it")
	}
}

// A peer that promises a gigabyte costs what it sends.
func TestMemoryGrowsWithWhatArrives(t *testing.T) {
	header := []byte{0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4}
	var d Decoder
	if g := decode(t, &d, math.MaxInt, header, []byte("a few bytes")); g.err != nil {
		t.Fatal(g)
	}
	if c := cap(d.partial.data); c > 64 {
		t.Errorf("holds %d bytes for 11 that arrived", c)
	}
}

func TestIdleDecoderIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Decoder{}); size > 24 {
		t.Errorf("an idle decoder takes %d bytes, want at most 24", size)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	in := join(final(OpText, strings.Repeat("x", 200)), final(OpPing, "p"))
	buf := make([]byte, len(in))
	var d Decoder
	if n := testing.AllocsPerRun(100, func() {
		copy(buf, in)
		drain(t, &d, buf)
	}); n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

func drain(t rapid.TB, d *Decoder, b []byte) {
	for len(b) > 0 {
		m, n, err := d.Next(b, 1<<20)
		if err != nil || m.Op == 0 {
			t.Fatal(m, err)
		}
		b = b[n:]
	}
}

// Any messages, in any fragments with any control frames between them, in any
// pieces, come out as they went in.
func TestAnyFragmentsAnySplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want got
		var wire []byte
		for range rapid.IntRange(0, 5).Draw(t, "messages") {
			m, control := drawMessage(t)
			wire = append(wire, fragment(t, m, control)...)
			want.messages = append(append(want.messages, control...), m)
		}
		cuts := rapid.SliceOf(rapid.Byte()).Draw(t, "cuts")
		var whole, pieces Decoder
		if g := decode(t, &whole, math.MaxInt, wire); !g.equal(want) {
			t.Fatalf("whole: got %v, want %v", g, want)
		}
		if g := decode(t, &pieces, math.MaxInt, split(wire, cuts)...); !g.equal(want) {
			t.Fatalf("in pieces: got %v, want %v", g, want)
		}
		if pieces.partial != nil {
			t.Fatal("memory is held between messages")
		}
	})
}

// drawMessage draws a data message and what comes between its fragments.
func drawMessage(t *rapid.T) (m Message, control []Message) {
	m = Message{OpBinary, rapid.SliceOfN(rapid.Byte(), -1, 300).Draw(t, "binary")}
	if rapid.Bool().Draw(t, "is text") {
		m = text(rapid.String().Draw(t, "text"))
	}
	for range rapid.IntRange(0, 2).Draw(t, "control frames") {
		op := rapid.SampledFrom([]OpCode{OpPing, OpPong}).Draw(t, "op")
		control = append(control, Message{op, rapid.SliceOfN(rapid.Byte(), 0, 125).Draw(t, "control")})
	}
	return m, control
}

// fragment encodes m with the control frames in front of its last fragment.
func fragment(t *rapid.T, m Message, control []Message) (wire []byte) {
	op, rest := m.Op, string(m.Payload)
	for _, n := range rapid.SliceOfN(rapid.IntRange(0, 40), 0, 4).Draw(t, "fragments") {
		n = min(n, len(rest))
		wire = append(wire, part(op, rest[:n])...)
		op, rest = cont, rest[n:]
	}
	for _, c := range control {
		wire = append(wire, final(c.Op, string(c.Payload))...)
	}
	return append(wire, final(op, rest)...)
}
