// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A pieces reader returns its input in pieces, and then err.
type pieces struct {
	cut [][]byte
	err error
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.cut) > 0 {
		n := copy(b, p.cut[0])
		if p.cut[0] = p.cut[0][n:]; len(p.cut[0]) == 0 {
			p.cut = p.cut[1:]
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, p.err
}

// readLines reads all lines. A line over the limit reads as "!".
func readLines(l *lineReader) (lines []string, err error) {
	for {
		for l.ready() {
			line, ok := l.next()
			if !ok {
				line = []byte("!")
			}
			lines = append(lines, string(line))
		}
		if err != nil {
			return lines, err
		}
		err = l.read()
	}
}

func TestLines(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		cut  []string
		err  error
		want []string
	}{
		{"nothing", nil, io.EOF, nil},
		{"one without end", []string{"ab"}, io.EOF, []string{"ab"}},
		{"one with end", []string{"ab\n"}, io.EOF, []string{"ab"}},
		{"blank ones", []string{"\n\na\n\n"}, io.EOF, []string{"", "", "a", ""}},
		{"cut in the middle", []string{"a", "b\nc", "d"}, io.EOF, []string{"ab", "cd"}},
		{"as long as may be", []string{"12345678\n"}, io.EOF, []string{"12345678"}},
		{"too long", []string{"123456789\nok\n"}, io.EOF, []string{"!", "ok"}},
		{"too long in many pieces", []string{"1234567890", "1234567890", "12\nok\n"}, io.EOF, []string{"!", "ok"}},
		{"too long at the end", []string{"1234567890", "1234567890"}, io.EOF, []string{"!"}},
		{"too long with an end of its own", []string{"1234567890", "\n", "ok"}, io.EOF, []string{"!", "ok"}},
		{"broken off", []string{"a\nb"}, broken, []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &pieces{err: tt.err}
			for _, s := range tt.cut {
				p.cut = append(p.cut, []byte(s))
			}
			got, err := readLines(newLineReader(p, 8))
			if !slices.Equal(got, tt.want) || err != tt.err {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// In whatever pieces the input arrives, the lines are the same, and the buffer holds at most one
// line and one read.
func TestLinesInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 200 << 10
		var input []byte
		for range rapid.IntRange(0, 20).Draw(t, "lines") {
			n := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(limit-2, limit+2), rapid.IntRange(0, 3*limit)).Draw(t, "length")
			input = append(input, bytes.Repeat([]byte{byte('a' + n%26)}, n)...)
			input = append(input, '\n')
		}
		input = append(input, strings.Repeat("z", rapid.IntRange(0, 3).Draw(t, "rest"))...)

		var want []string
		for line := range bytes.Lines(input) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if len(line) > limit {
				line = []byte("!")
			}
			want = append(want, string(line))
		}
		p := &pieces{err: io.EOF}
		for rest := input; len(rest) > 0; {
			n := min(len(rest), rapid.OneOf(rapid.IntRange(1, 10), rapid.IntRange(1, 2*limit)).Draw(t, "cut"))
			if len(p.cut) > 200 { // no need to go on byte by byte
				n = len(rest)
			}
			p.cut, rest = append(p.cut, rest[:n]), rest[n:]
		}
		l := newLineReader(p, limit)
		got, err := readLines(l)
		if err != io.EOF || !slices.Equal(got, want) {
			t.Fatalf("%d lines, %v; want %d", len(got), err, len(want))
		}
		if cap(l.buf) > limit+2*lineBuffer {
			t.Fatalf("the buffer grew to %d", cap(l.buf))
		}
	})
}
