// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"strings"
	"testing"
)

func BenchmarkDecode200B(b *testing.B) {
	in := final(OpText, strings.Repeat("x", 200))
	buf := make([]byte, len(in))
	var d Decoder
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, in) // decoding unmasks in place
		drain(b, &d, buf)
	}
}

// In two reads, as a frame at the end of a full buffer comes.
func BenchmarkDecode200BSplit(b *testing.B) {
	in := final(OpText, strings.Repeat("x", 200))
	buf := make([]byte, len(in))
	var d Decoder
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, in)
		if _, _, err := d.Next(buf[:100], 1<<20); err != nil {
			b.Fatal(err)
		}
		drain(b, &d, buf[100:])
	}
}

func BenchmarkEncode200B(b *testing.B) { benchmarkEncode(b, 200) }

func BenchmarkEncode2KB(b *testing.B) { benchmarkEncode(b, 2048) }

func benchmarkEncode(b *testing.B, n int) {
	payload := []byte(strings.Repeat("x", n))
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		Append(nil, OpText, payload)
	}
}
