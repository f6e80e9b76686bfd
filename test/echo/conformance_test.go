// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatecast/gatecast/test/testenv"

	"github.com/gobwas/ws"
)

// sections are the cases, numbered as in the conformance suite that most servers
// are tried with.
var sections = []struct {
	name  string
	cases func() []conversation
}{
	{"1 framing", framing},
	{"2 pings and pongs", pings},
	{"3 reserved bits", reservedBits},
	{"4 reserved opcodes", reservedOpcodes},
	{"5 fragmentation", fragmentation},
	{"6 UTF-8", unicodeCases},
	{"7 closing", closings},
	{"9 large messages", large},
	{"10 fragments of a segment", segments},
}

func TestConformance(t *testing.T) {
	both(t, func(t *testing.T, h *host) {
		for _, s := range sections {
			t.Run(s.name, func(t *testing.T) {
				cases := s.cases()
				t.Logf("%d cases", len(cases))
				for _, c := range cases {
					t.Run(c.name, func(t *testing.T) {
						t.Parallel()
						h.run(t, c)
					})
				}
			})
		}
	})
}

// letters is a text of n bytes in which a misplaced piece shows.
func letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i^i>>5^i>>11)%26
	}
	return string(b)
}

func framing() (cases []conversation) {
	for _, op := range []ws.OpCode{text, binary} {
		for _, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
			p := letters(n)
			if op == binary && n > 0 {
				p = "\xff" + p[1:]
			}
			c := fine(fmt.Sprintf("%d bytes, opcode %d", n, op), final(op, p), got(op, p))
			cases = append(cases, c, c.chopped(997))
		}
	}
	return cases
}

func pings() (cases []conversation) {
	p125 := strings.Repeat("\xfe", 125)
	var ten []byte
	var answers []string
	for i := range 10 {
		p := fmt.Sprint("payload ", i)
		ten, answers = append(ten, final(ping, p)...), append(answers, got(pong, p))
	}
	for _, c := range []conversation{
		fine("empty ping", final(ping, ""), got(pong, "")),
		fine("ping with a payload", final(ping, "Hello"), got(pong, "Hello")),
		fine("ping with bytes", final(ping, "\x00\xff\xfe\xfd"), got(pong, "\x00\xff\xfe\xfd")),
		fine("ping of 125 bytes", final(ping, p125), got(pong, p125)),
		fails("ping of 126 bytes", 1002, final(ping, p125+"\xfe")),
		fine("empty pong", final(pong, "")),
		fine("pong with a payload", final(pong, "unsolicited")),
		fine("pong, then ping", join(final(pong, "unsolicited"), final(ping, "p")), got(pong, "p")),
		fine("ten pings", ten, answers...),
	} {
		cases = append(cases, c.inPieces()...)
	}
	return cases
}

const hello = "Hello, world!"

func reservedBits() (cases []conversation) {
	good, echo := final(text, hello), got(text, hello)
	for rsv := byte(1); rsv <= 7; rsv++ {
		for _, bad := range []struct {
			name  string
			frame []byte
		}{
			{"text", reserved(rsv, text, hello)}, {"binary", reserved(rsv, binary, "\x00\xff\xfe")},
			{"ping", reserved(rsv, ping, hello)}, {"close", reserved(rsv, ws.OpClose, "\x03\xe8")},
		} {
			name := fmt.Sprintf("bits %03b in a %s", rsv, bad.name)
			cases = append(cases, fails(name, 1002, bad.frame[:1+1+4]))
			cases = append(cases, fails(name+" after a text", 1002, join(good, bad.frame, final(ping, "")), echo).inPieces()...)
		}
	}
	return cases
}

func reservedOpcodes() (cases []conversation) {
	good, echo := final(text, hello), got(text, hello)
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		name := fmt.Sprint("opcode ", op)
		cases = append(cases,
			fails(name, 1002, final(op, "")),
			fails(name+" with a payload", 1002, final(op, "reserved")))
		cases = append(cases, fails(name+" between messages", 1002, join(good, final(op, ""), final(ping, "")), echo).inPieces()...)
		cases = append(cases, fails(name+" with a payload between messages", 1002, join(good, final(op, "reserved"), final(ping, "")), echo).inPieces()...)
		cases = append(cases, fails(name+" inside a message", 1002, join(part(text, "a"), final(op, ""))))
	}
	return cases
}

func fragmentation() (cases []conversation) {
	good, echo := final(text, hello), got(text, hello)
	ab := got(text, "fragment1fragment2")
	a, b := part(text, "fragment1"), final(more, "fragment2")
	abcde := got(text, "fragment1fragment2fragment3fragment4fragment5")
	for _, c := range []conversation{
		fails("ping in two fragments", 1002, join(part(ping, "a"), final(more, "b"))),
		fails("pong in two fragments", 1002, join(part(pong, "a"), final(more, "b"))),
		fine("two fragments", join(a, b), ab),
		fine("ping between fragments", join(a, final(ping, "p"), b), got(pong, "p"), ab),
		fine("pong between fragments", join(a, final(pong, "p"), b), ab),
		fails("end of nothing, then a text", 1002, join(final(more, "a"), good)),
		fails("continuation of nothing, then a text", 1002, join(part(more, "a"), good)),
		fails("message, then an end of nothing", 1002, join(a, b, final(more, "c"), good), ab),
		fails("message, then a continuation of nothing", 1002, join(a, b, part(more, "c"), good), ab),
		fails("again and again a continuation of nothing", 1002, join(part(more, "a"), a, b, part(more, "a"), a, b)),
		fails("again and again an end of nothing", 1002, join(final(more, "a"), a, b, final(more, "a"), a, b)),
		fails("text inside a text", 1002, join(a, final(text, "fragment2"))),
		fails("binary inside a text", 1002, join(a, final(binary, "fragment2"))),
		fails("first fragment again", 1002, join(a, a)),
		fine("five fragments and two pings", join(a, part(more, "fragment2"), final(ping, "1"), part(more, "fragment3"),
			part(more, "fragment4"), final(ping, "2"), final(more, "fragment5")), got(pong, "1"), got(pong, "2"), abcde),
		fine("empty fragments", join(part(text, ""), part(more, ""), final(more, "")), got(text, "")),
		fine("empty fragments around one with bytes", join(part(text, ""), part(more, "middle"), final(more, "")), got(text, "middle")),
		fine("binary", join(part(binary, "\xff"), final(more, "\xfe")), got(binary, "\xff\xfe")),
		fine("a message after one in fragments", join(a, b, good), ab, echo),
		fails("close in two fragments", 1002, join(part(ws.OpClose, "\x03\xe8"), final(more, "b"))),
	} {
		cases = append(cases, c.inPieces()...)
	}
	return cases
}

// boundaries are the first and last code points of each length and around the
// surrogates, and the non-characters, which are allowed.
func boundaries() (runes []rune) {
	runes = []rune{0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfdd0, 0xfdef, 0xfffd, 0xfffe, 0xffff, 0x10000}
	for plane := rune(1); plane <= 16; plane++ {
		runes = append(runes, plane<<16|0xfffe, plane<<16|0xffff)
	}
	return runes
}

// notUTF8 are sequences that are wrong at their last byte.
func notUTF8() map[string]string {
	bad := map[string]string{
		"overlong / in 2": "\xc0", "overlong U+007F": "\xc1", "overlong / in 3": "\xe0\x80", "overlong U+07FF": "\xe0\x9f",
		"overlong / in 4": "\xf0\x80", "overlong U+FFFF": "\xf0\x8f", "5 bytes": "\xf8", "6 bytes": "\xfc",
		"U+110000": "\xf4\x90", "U+1FFFFF": "\xf7", "FE": "\xfe", "FF": "\xff", "lone 80": "\x80", "lone BF": "\xbf",
		"2 of 2, then a space": "\xc3 ", "2 of 3, then a space": "\xe2\x82 ", "3 of 4, then a space": "\xf0\x9f\x98 ",
		"an incomplete one, then another": "\xe2\x82\xf0",
	}
	for _, second := range []byte{0xa0, 0xad, 0xae, 0xaf, 0xb0, 0xbe, 0xbf} {
		bad[fmt.Sprintf("surrogate ED %X", second)] = "\xed" + string([]byte{second})
	}
	return bad
}

func unicodeCases() (cases []conversation) {
	const kosme = "κόσμε" // a word that older decoders broke on
	cases = append(cases, fine("valid", final(text, kosme), got(text, kosme)).inPieces()...)
	cases = append(cases,
		fine("empty fragments", join(part(text, ""), part(more, ""), final(more, "")), got(text, "")),
		fine("fragments between runes", join(part(text, "κό"), final(more, "σμε")), got(text, kosme)),
		fine("a byte a fragment", fragmented(text, kosme, 1), got(text, kosme)),
		fine("a byte a fragment and write", fragmented(text, kosme, 1), got(text, kosme)).chopped(1))
	for _, r := range boundaries() {
		s := "<" + string(r) + ">"
		cases = append(cases, fine(fmt.Sprintf("%U", r), final(text, s), got(text, s)), fine(fmt.Sprintf("%U, a byte a fragment", r), fragmented(text, s, 1), got(text, s)))
	}
	for name, bad := range notUTF8() {
		cases = append(cases, invalid(name, kosme+bad)...)
	}
	for _, s := range []string{"\xce", "\xe2\x82", "\xf0\x9f\x98"} {
		name := fmt.Sprintf("ends in %X", s)
		cases = append(cases,
			fails(name, 1007, final(text, kosme+s)),
			fails(name+", in fragments", 1007, fragmented(text, kosme+s, 1)))
	}
	for b := 0x80; b <= 0xff; b++ {
		s := string([]byte{byte(b)}) + " "
		cases = append(cases, fails(fmt.Sprintf("%X, then a space", b), 1007, final(text, s)))
	}
	slices.SortFunc(cases, func(a, b conversation) int { return strings.Compare(a.name, b.name) })
	return cases
}

// invalid are the ways to send what is wrong at its last byte. In all but the first
// the message has no end: the server must not wait for it.
func invalid(name, s string) []conversation {
	if utf8.ValidString(s) {
		panic(name)
	}
	long := final(text, s+strings.Repeat("x", 300))
	begun := long[:2+2+4+len(s)]
	return []conversation{
		fails(name, 1007, final(text, s)),
		fails(name+", frame not ended", 1007, begun),
		fails(name+", frame not ended", 1007, begun).chopped(1),
		fails(name+", message not ended", 1007, part(text, s)),
		fails(name+", a byte a fragment", 1007, join(fragmented(text, s, 1)[:7*(len(s)-1)], part(more, s[len(s)-1:]))),
	}
}

func closings() (cases []conversation) {
	big := letters(256 << 10)
	good, echo := final(text, hello), got(text, hello)
	for _, c := range []conversation{
		fine("text, then close", good, echo),
		{"two closes", join(clientClose, closing(1001, "")), 0, []string{closed(1000)}},
		{"ping after the close", join(clientClose, final(ping, "p")), 0, []string{closed(1000)}},
		{"text after the close", join(clientClose, good), 0, []string{closed(1000)}},
		{"nonsense after the close", join(clientClose, []byte("\xff\xff\xff\xff")), 0, []string{closed(1000)}},
		{"close between fragments", join(part(text, "a"), clientClose, final(more, "b")), 0, []string{closed(1000)}},
		{"no payload", final(ws.OpClose, ""), 0, []string{"close"}},
		fails("one byte of payload", 1002, final(ws.OpClose, "a")),
		{"code and reason", closing(1000, hello), 0, []string{closed(1000)}},
		{"reason of 123 bytes", closing(1000, strings.Repeat("*", 123)), 0, []string{closed(1000)}},
		fails("reason of 124 bytes", 1002, closing(1000, strings.Repeat("*", 124))),
		fails("reason is not UTF-8", 1007, closing(1000, "\xce\xba\xed\xa0\x80edited")),
		fails("reason ends inside a rune", 1007, closing(1000, "\xe2\x82")),
	} {
		cases = append(cases, c.inPieces()...)
	}
	cases = append(cases,
		fine("256 KiB, then close", final(text, big), got(text, big)),
		conversation{"256 KiB after the close", join(clientClose, final(text, big), final(ping, "p")), 0, []string{closed(1000)}})
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, conversation{fmt.Sprint("code ", code), closing(code, "why"), 0, []string{closed(code)}})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, fails(fmt.Sprint("code ", code), 1002, closing(code, "why")))
	}
	return cases
}

// large are messages of up to 16 MiB. Under the race detector most are a sixteenth.
func large() (cases []conversation) {
	scale := 1
	if testenv.Race || testing.Short() {
		scale = 16
	}
	for _, op := range []ws.OpCode{text, binary} {
		for _, n := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20} {
			if op == binary || n < 16<<20 {
				n /= scale
			}
			p := letters(n)
			cases = append(cases, fine(fmt.Sprintf("%d bytes, opcode %d", n, op), final(op, p), got(op, p)))
		}
		whole := letters(4 << 20 / scale)
		for _, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
			cases = append(cases, fine(fmt.Sprintf("%d bytes in fragments of %d, opcode %d", len(whole), size, op), fragmented(op, whole, size), got(op, whole)))
		}
		part := letters(1 << 20 / scale)
		for _, chop := range []int{64, 128, 256, 512, 1024, 2048} {
			cases = append(cases, fine(fmt.Sprintf("%d bytes, opcode %d", len(part), op), final(op, part), got(op, part)).chopped(chop))
		}
		for _, n := range []int{0, 16, 64, 256, 1024, 4096, 16384} {
			cases = append(cases, many(op, 1000/scale, n))
		}
	}
	tooLong := letters(maxMessage + 1)
	return append(cases, fails("16 MiB and a byte", 1009, final(text, tooLong)[:2+8+4]))
}

// many is a number of messages, one after the other.
func many(op ws.OpCode, count, n int) conversation {
	var send []byte
	var want []string
	for range count {
		send, want = append(send, final(op, letters(n))...), append(want, got(op, letters(n)))
	}
	return fine(fmt.Sprintf("%d messages of %d bytes, opcode %d", count, n, op), send, want...)
}

func segments() []conversation {
	p := letters(65536)
	return []conversation{fine("65536 bytes in fragments of 1300", fragmented(text, p, 1300), got(text, p))}
}
