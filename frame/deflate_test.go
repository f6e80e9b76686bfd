// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/test/testenv"

	"github.com/gobwas/ws"
)

// squeezed compresses a payload by the standard library, not by the code under
// test.
func squeezed(payload string) string {
	var b bytes.Buffer
	w, err := stdflate.NewWriter(&b, stdflate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(payload))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), flushTail)
}

// rsv sets RSV1 in a frame.
func rsv(b []byte) []byte { return patch(b, 0, func(b byte) byte { return b | rsv1Bit }) }

// packed is a client's compressed message.
func packed(op OpCode, payload string) []byte { return rsv(final(op, squeezed(payload))) }

const maxTest = 64 << 10

func TestInflate(t *testing.T) {
	long := strings.Repeat("long as it is ", 1000)
	z := squeezed(long)
	for _, tt := range []struct {
		name string
		in   []byte
		want []string
		code CloseCode
	}{
		{"whole", packed(OpText, "hello, hello, hello"), []string{"hello, hello, hello"}, 0},
		{"empty, as RFC 7692 7.2.3.6 has it", rsv(final(OpText, "\x00")), []string{""}, 0},
		{"RFC 7692 7.2.3.1", rsv(final(OpText, "\xf2\x48\xcd\xc9\xc9\x07\x00")), []string{"Hello"}, 0},
		{"RFC 7692 7.2.3.3, a stored block", rsv(final(OpText, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")), []string{"Hello"}, 0},
		{"RFC 7692 7.2.3.4, a last block", rsv(final(OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")), []string{"Hello"}, 0},
		{"RFC 7692 7.2.3.5, two blocks", rsv(final(OpText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")), []string{"Hello"}, 0},
		{"plain among them", join(packed(OpText, "a"), final(OpText, "b"), packed(OpText, "c")), []string{"a", "b", "c"}, 0},
		{"fragments", join(rsv(part(OpText, z[:7])), part(cont, z[7:11]), final(cont, z[11:])), []string{long}, 0},
		{"ping between fragments", join(rsv(part(OpText, z[:7])), final(OpPing, "p"), final(cont, z[7:])), []string{"p", long}, 0},
		{"plain fragments after compressed", join(packed(OpText, "a"), part(OpText, "b"), final(cont, "c")), []string{"a", "bc"}, 0},
		{"just as long as may be", packed(OpText, strings.Repeat("x", maxTest)), []string{strings.Repeat("x", maxTest)}, 0},
		{"too long", packed(OpText, strings.Repeat("x", maxTest+1)), nil, CloseMessageTooBig},
		{"a bomb", packed(OpText, strings.Repeat("x", 4<<20)), nil, CloseMessageTooBig},
		{"corrupt", rsv(final(OpText, "\xff\xff\xff\xff")), nil, CloseInvalidData},
		{"cut", rsv(final(OpText, z[:len(z)/2])), nil, CloseInvalidData},
		{"no UTF-8", packed(OpText, "\xff\xfe"), nil, CloseInvalidData},
		{"binary need not be UTF-8", packed(OpBinary, "\xff\xfe"), []string{"\xff\xfe"}, 0},
		{"many last blocks", rsv(final(OpText, strings.Repeat("\x03\x00", 1000))), nil, CloseInvalidData},
		{"RSV1 on a continuation", join(part(OpText, "a"), rsv(final(cont, "b"))), nil, CloseProtocolError},
		{"RSV1 on a ping", rsv(final(OpPing, "")), nil, CloseProtocolError},
		{"RSV1 on a close", rsv(final(OpClose, "")), nil, CloseProtocolError},
		{"RSV2", patch(final(OpText, ""), 0, func(b byte) byte { return b | 0x20 }), nil, CloseProtocolError},
		{"RSV1 and RSV3", patch(final(OpText, ""), 0, func(b byte) byte { return b | 0x50 }), nil, CloseProtocolError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pieces := map[string][][]byte{"whole": {tt.in}, "halves": {tt.in[:len(tt.in)/2], tt.in[len(tt.in)/2:]}, "bytes": ones(tt.in)}
			for name, p := range pieces {
				g := decode(t, &Decoder{Deflate: true}, maxTest, p...)
				var texts []string
				for _, m := range g.messages {
					texts = append(texts, string(m.Payload))
				}
				if fmt.Sprint(texts) != fmt.Sprint(tt.want) || codeOf(g.err) != tt.code {
					t.Errorf("%s: got %v, want %.60q and code %d", name, g, tt.want, tt.code)
				}
			}
		})
	}
}

// Not negotiated, RSV1 breaks the protocol.
func TestInflateNotNegotiated(t *testing.T) {
	if g := decode(t, &Decoder{}, maxTest, packed(OpText, "a")); codeOf(g.err) != CloseProtocolError {
		t.Errorf("got %v", g)
	}
}

// A bomb of 16 MiB costs no more memory than the bound, about.
func TestInflateBomb(t *testing.T) {
	bomb := packed(OpText, strings.Repeat("x", 16<<20))
	if len(bomb) > maxTest {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	g := decode(t, &Decoder{Deflate: true}, maxTest, bomb)
	runtime.ReadMemStats(&after)
	if codeOf(g.err) != CloseMessageTooBig {
		t.Errorf("got %v", g)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated for it", n)
	}
}

func TestAppendDeflated(t *testing.T) {
	for _, n := range []int{0, 1, 20, 125, 126, 2000, 70_000, 1 << 20} {
		payload := strings.Repeat(`{"apiId":"weather"},`, n/20+1)[:n]
		wire, ok := AppendDeflated([]byte("front"), OpText, []byte(payload))
		if !ok {
			if n > 200 || string(wire) != "front" {
				t.Errorf("%d bytes: not compressed, %q", n, wire)
			}
			continue
		}
		wire = wire[len("front"):]
		if len(wire) >= HeaderSize(n)+n {
			t.Errorf("%d bytes became %d", n, len(wire))
		}
		g := decode(t, &Decoder{FromServer: true, Deflate: true}, math.MaxInt, wire)
		if len(g.messages) != 1 || string(g.messages[0].Payload) != payload {
			t.Errorf("%d bytes come back as %v", n, g)
		}
		h, err := ws.ReadHeader(bytes.NewReader(wire))
		if err != nil || !h.Rsv1() || h.Rsv2() || h.Rsv3() || !h.Fin || h.OpCode != OpText {
			t.Errorf("header %+v, %v", h, err)
		}
	}
}

// Compressing allocates what it appends, and nothing else.
func TestAppendDeflatedAllocates(t *testing.T) {
	if testenv.Race {
		t.Skip("allocations cannot be counted under the race detector")
	}
	payload := event2KB()
	var dst []byte
	if n := testing.AllocsPerRun(100, func() { dst, _ = AppendDeflated(dst[:0], OpText, payload) }); n > 0.5 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzInflate holds that how compressed messages are cut makes no difference, that
// none is longer than the bound, and that texts are texts.
func FuzzInflate(f *testing.F) {
	f.Add(packed(OpText, "hello, hello, hello"), []byte{3, 5}, uint32(100))
	f.Add(join(rsv(part(OpText, squeezed("hello")[:3])), final(OpPing, ""), final(cont, squeezed("hello")[3:])), []byte{1, 9}, uint32(100))
	f.Add(packed(OpText, strings.Repeat("x", 10_000)), []byte{7}, uint32(1000))
	f.Add(rsv(final(OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")), []byte{8}, uint32(100))
	f.Add(rsv(final(OpBinary, "\xff\xff\xff")), []byte{}, uint32(100))
	f.Fuzz(func(t *testing.T, in, cuts []byte, max uint32) {
		bound := int(max % (1 << 20))
		whole := decode(t, &Decoder{Deflate: true}, bound, in)
		for name, pieces := range map[string][][]byte{"cut": split(in, cuts), "bytes": ones(in)} {
			// A text without compression fails at its first wrong byte.
			if g := decode(t, &Decoder{Deflate: true}, bound, pieces...); !g.equal(whole) {
				t.Errorf("%s: %v\nwhole: %v", name, g, whole)
			}
		}
		for _, m := range whole.messages {
			if !m.Op.IsControl() && len(m.Payload) > bound {
				t.Errorf("%d bytes, bound %d", len(m.Payload), bound)
			}
			if fail := checkPayload(m); fail != nil {
				t.Errorf("passed: %v", fail)
			}
		}
	})
}

// FuzzDeflate holds that what is compressed comes back, in any fragments.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte("hello, hello, hello"), []byte{3, 5})
	f.Fuzz(func(t *testing.T, payload, cuts []byte) {
		wire, ok := AppendDeflated(nil, OpBinary, payload)
		if ok {
			if g := decode(t, &Decoder{FromServer: true, Deflate: true}, len(payload), wire); len(g.messages) != 1 || !bytes.Equal(g.messages[0].Payload, payload) {
				t.Errorf("comes back as %v", g)
			}
		}
		var in []byte
		for i, p := range split([]byte(squeezed(string(payload))), cuts) {
			if i == 0 {
				in = rsv(part(OpBinary, string(p)))
				continue
			}
			in = append(in, part(cont, string(p))...)
		}
		in = append(in, final(cont, "")...)
		if g := decode(t, &Decoder{Deflate: true}, 1<<30, in); len(g.messages) != 1 || !bytes.Equal(g.messages[0].Payload, payload) {
			t.Errorf("fragments come back as %v", g)
		}
	})
}

// event2KB is JSON as a platform might publish it.
func event2KB() []byte {
	b := []byte(`{"type":"api.deployed","payload":{"routes":[`)
	for i := 0; len(b) < 2000; i++ {
		b = fmt.Appendf(b, `{"path":"/v1/resource%d/{id}","method":"GET","timeoutMs":%d,"upstream":"10.0.%d.%d:8080"},`, i*7919%1000, i*37%5000, i*31%256, i*97%256)
	}
	return append(b[:len(b)-1], `]}}`...)
}

func BenchmarkDeflate2KB(b *testing.B) {
	payload := event2KB()
	var dst []byte
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendDeflated(dst[:0], OpText, payload)
	}
	b.ReportMetric(float64(len(dst)), "wire-bytes")
}

// The standard library at the same level, for comparison.
func BenchmarkDeflate2KBStdlib(b *testing.B) {
	payload := event2KB()
	var out bytes.Buffer
	w, _ := stdflate.NewWriter(&out, stdflate.BestSpeed)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		w.Reset(&out)
		_, _ = w.Write(payload)
		_ = w.Flush()
	}
	b.ReportMetric(float64(out.Len()), "wire-bytes")
}

func BenchmarkInflate2KB(b *testing.B) {
	z := []byte(squeezed(string(event2KB())))
	b.ReportAllocs()
	for b.Loop() {
		if _, fail := inflate(z, maxTest); fail != nil {
			b.Fatal(fail)
		}
	}
}
