// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	someTrace = "0af7651916cd43dd8448eb211c80319c"
	someSpan  = "b7ad6b7169203331"
)

func TestParseTraceparent(t *testing.T) {
	zeroTrace, zeroSpan := strings.Repeat("0", 32), strings.Repeat("0", 16)
	for _, tt := range []struct {
		name, header, want string // want is empty for an invalid header
	}{
		{"sampled", "00-" + someTrace + "-" + someSpan + "-01", "00-" + someTrace + "-" + someSpan + "-01"},
		{"not sampled", "00-" + someTrace + "-" + someSpan + "-00", "00-" + someTrace + "-" + someSpan + "-00"},
		{"flags nobody knows", "00-" + someTrace + "-" + someSpan + "-fe", "00-" + someTrace + "-" + someSpan + "-fe"},
		{"nearly zero ids", "00-" + zeroTrace[1:] + "1-1" + zeroSpan[1:] + "-00", "00-" + zeroTrace[1:] + "1-1" + zeroSpan[1:] + "-00"},
		{"empty", "", ""},
		{"zero trace", "00-" + zeroTrace + "-" + someSpan + "-01", ""},
		{"zero span", "00-" + someTrace + "-" + zeroSpan + "-01", ""},
		{"upper case", "00-" + strings.ToUpper(someTrace) + "-" + someSpan + "-01", ""},
		{"upper-case flags", "00-" + someTrace + "-" + someSpan + "-0A", ""},
		{"upper-case version", "0A-" + someTrace + "-" + someSpan + "-01", ""},
		{"no hex", "00-" + someTrace[1:] + "g-" + someSpan + "-01", ""},
		{"short", "00-" + someTrace + "-" + someSpan + "-0", ""},
		{"short trace", "00-" + someTrace[1:] + "-" + someSpan + "-010", ""},
		{"other separators", "00_" + someTrace + "_" + someSpan + "_01", ""},
		{"something follows version 00", "00-" + someTrace + "-" + someSpan + "-01-x", ""},
		{"a dash follows version 00", "00-" + someTrace + "-" + someSpan + "-01-", ""},
		{"space before", " 00-" + someTrace + "-" + someSpan + "-01", ""},
		{"space after it", "00-" + someTrace + "-" + someSpan + "-01 ", ""},
		{"version ff", "ff-" + someTrace + "-" + someSpan + "-01", ""},
		{"a higher version", "01-" + someTrace + "-" + someSpan + "-01", "00-" + someTrace + "-" + someSpan + "-01"},
		{"a higher version with more", "cc-" + someTrace + "-" + someSpan + "-01-what \"ever", "00-" + someTrace + "-" + someSpan + "-01"},
		{"a higher version with a dash", "fe-" + someTrace + "-" + someSpan + "-01-", "00-" + someTrace + "-" + someSpan + "-01"},
		{"a higher version run on", "01-" + someTrace + "-" + someSpan + "-01.x", ""},
		{"a higher version of zeros", "01-" + zeroTrace + "-" + someSpan + "-01", ""},
		{"flags of a higher version", "01-" + someTrace + "-" + someSpan + "-ff", "00-" + someTrace + "-" + someSpan + "-01"},
		{"no sampling in a higher version", "01-" + someTrace + "-" + someSpan + "-fe", "00-" + someTrace + "-" + someSpan + "-00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := ParseTraceparent([]byte(tt.header))
			if string(got) != tt.want || ok != (tt.want != "") {
				t.Errorf("ParseTraceparent(%q) = %q, %v, want %q", tt.header, got, ok, tt.want)
			}
		})
	}
}

func TestTraceparentFields(t *testing.T) {
	for flags, sampled := range map[string]bool{"00": false, "01": true, "02": false, "0b": true, "fe": false, "ff": true} {
		p, ok := ParseTraceparent([]byte("00-" + someTrace + "-" + someSpan + "-" + flags))
		if !ok || p.TraceID() != someTrace || p.SpanID() != someSpan || p.Sampled() != sampled {
			t.Errorf("flags %s: %v, %q, %q, sampled %v", flags, ok, p.TraceID(), p.SpanID(), p.Sampled())
		}
	}
}

// The grammar of the specification, word for word, and its rules beside it.
var (
	grammar = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?s:(-.*)?)$`)
	zeroIDs = regexp.MustCompile(`^..-(0{32}-|.{32}-0{16}-)`)
)

func traceparentOracle(header string) bool {
	if !grammar.MatchString(header) || zeroIDs.MatchString(header) || strings.HasPrefix(header, "ff") {
		return false
	}
	return !strings.HasPrefix(header, "00") || len(header) == 55
}

func checkTraceparent(t interface{ Fatalf(string, ...any) }, header string) {
	p, ok := ParseTraceparent([]byte(header))
	if want := traceparentOracle(header); ok != want || ok != (p != "") {
		t.Fatalf("ParseTraceparent(%q) = %q, %v, want %v", header, p, ok, want)
	}
	if !ok {
		return
	}
	if again, ok := ParseTraceparent([]byte(p)); !ok || again != p {
		t.Fatalf("%q became %q, which reads as %q, %v", header, p, again, ok)
	}
	if string(p[2:53]) != header[2:53] || p[:2] != "00" || strings.HasPrefix(header, "00") && string(p) != header {
		t.Fatalf("%q became %q", header, p)
	}
	if sampled := strings.ContainsRune("13579bdf", rune(header[54])); p.Sampled() != sampled {
		t.Fatalf("%q: sampled is %v", header, p.Sampled())
	}
}

func TestPropertyTraceparent(t *testing.T) {
	likely := `(0[01]|ff|[0-9a-f]{2})-(0{32}|[0-9a-f]{32})-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}(-[ -~]{0,5}|.)?`
	rapid.Check(t, func(t *rapid.T) {
		header := []byte(rapid.StringMatching(likely).Draw(t, "header"))
		if rapid.Bool().Draw(t, "damaged") {
			header[rapid.IntRange(0, len(header)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		checkTraceparent(t, string(header))
	})
}

func FuzzParseTraceparent(f *testing.F) {
	f.Add("00-" + someTrace + "-" + someSpan + "-01")
	f.Add("01-" + someTrace + "-" + someSpan + "-ff-more")
	f.Add("ff-" + someTrace + "-" + someSpan + "-01")
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) { checkTraceparent(t, header) })
}
