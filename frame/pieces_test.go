// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"fmt"
	"strings"
	"testing"
)

// A long message costs as much a byte as a short one, in whatever pieces it
// arrives and however it is fragmented.
func BenchmarkDecodeInPieces(b *testing.B) {
	for _, size := range []int{1 << 20, 16 << 20} {
		whole := final(OpText, strings.Repeat("é", size/2))
		for _, piece := range []int{1, 64 << 10} {
			b.Run(fmt.Sprintf("%dMiB/%dB", size>>20, piece), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					decodePieces(b, whole, piece)
				}
			})
		}
	}
}

// decodePieces decodes one message that arrives in pieces.
func decodePieces(b *testing.B, wire []byte, piece int) {
	var d Decoder
	for len(wire) > 0 {
		n := min(piece, len(wire))
		m, took, err := d.Next(wire[:n], 32<<20)
		if err != nil || took != n {
			b.Fatalf("took %d of %d, %v", took, n, err)
		}
		if wire = wire[n:]; len(wire) == 0 && m.Op != OpText {
			b.Fatal("no message at the end")
		}
	}
}
