// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFactsAsText(t *testing.T) {
	tests := []struct {
		name  string
		facts Facts
		text  string
	}{
		{"nothing", Facts{}, `{"d":[],"a":[],"f":[]}`},
		{"progress", Facts{Progress: []Progress{{"gw-1", 17, 42}, {"gw-2", 0, 1}}}, `{"d":[["gw-1",17,42],["gw-2",0,1]],"a":[],"f":[]}`},
		{"answers", Facts{Answers: []Answer{{"gw-1", 18, false}, {"gw-1", 42, false}, {"gw-2", 42, true}}},
			`{"d":[],"a":[["gw-1",18],["gw-1",42]],"f":[["gw-2",42]]}`},
		{"a floor", Facts{Floor: 7}, `{"l":7,"d":[],"a":[],"f":[]}`},
		{"the largest numbers", Facts{Floor: math.MaxUint64, Progress: []Progress{{"g", 0, math.MaxUint64}}},
			`{"l":18446744073709551615,"d":[["g",0,18446744073709551615]],"a":[],"f":[]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.facts.AppendTo(nil)); got != tt.text || !json.Valid([]byte(got)) {
				t.Errorf("got  %s\nwant %s", got, tt.text)
			}
			if got, err := ParseFacts([]byte(tt.text)); err != nil || !reflect.DeepEqual(got, tt.facts) {
				t.Errorf("%s is read as %+v, %v", tt.text, got, err)
			}
		})
	}
}

func TestParseFactsRefuses(t *testing.T) {
	long := strings.Repeat("g", 65)
	for _, text := range []string{
		``, `{}`, `null`, `[]`, `{"d":[],"a":[]}`, `{"d":[],"a":[],"f":[]`, `{"d":[],"a":[],"f":[]} `, `{"d":[],"a":[],"f":[]}{}`,
		`{"a":[],"d":[],"f":[]}`, `{"d":null,"a":[],"f":[]}`, `{"l":0,"d":[],"a":[],"f":[]}`, `{"l":,"d":[],"a":[],"f":[]}`,
		`{"d":[[]],"a":[],"f":[]}`, `{"d":[["g",1]],"a":[],"f":[]}`, `{"d":[["g",1,2,3]],"a":[],"f":[]}`,
		`{"d":[["g",1,2],],"a":[],"f":[]}`, `{"d":[,["g",1,2]],"a":[],"f":[]}`, `{"d":[["g",1,2]["g",1,2]],"a":[],"f":[]}`,
		`{"d":[["g",01,2]],"a":[],"f":[]}`, `{"d":[["g",-1,2]],"a":[],"f":[]}`, `{"d":[["g",1e3,2]],"a":[],"f":[]}`,
		`{"d":[["g",1,18446744073709551616]],"a":[],"f":[]}`, `{"d":[["g",1,184467440737095516150]],"a":[],"f":[]}`,
		`{"d":[["",1,2]],"a":[],"f":[]}`, `{"d":[["a b",1,2]],"a":[],"f":[]}`, `{"d":[["` + long + `",1,2]],"a":[],"f":[]}`,
		`{"d":[["g`, `{"d":[["g"`, `{"d":[["g",`, `{"d":[["g",1`, `{"d":[[1,1,2]],"a":[],"f":[]}`,
		`{"d":[],"a":[["g",null]],"f":[]}`, `{"d":[],"a":[["g",1,2]],"f":[]}`, `{"d":[],"a":[],"f":[["g"]]}`,
	} {
		t.Run(text, func(t *testing.T) {
			if f, err := ParseFacts([]byte(text)); !errors.Is(err, errFacts) {
				t.Errorf("it is read as %+v, %v", f, err)
			}
		})
	}
	_, err := ParseFacts([]byte(`{"d":[["g",1,x]],"a":[],"f":[]}`))
	if err == nil || !strings.HasSuffix(err.Error(), "at byte 13") {
		t.Errorf("the error does not say where: %v", err)
	}
}

// Pieces together are the whole, and none is longer than it may be unless it is
// one fact.
func TestParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := drawFacts(t)
		whole.Floor = rapid.Uint64Range(0, 3).Draw(t, "floor")
		size := rapid.IntRange(0, 400).Draw(t, "size")
		var got Facts
		for part := range whole.Parts(size) {
			n := len(part.Progress) + len(part.Answers)
			if n == 0 && part.Floor == 0 {
				t.Fatal("a piece says nothing")
			}
			if text := part.AppendTo(nil); len(text) > size && n > 1 {
				t.Fatalf("a piece has %d bytes, want at most %d: %s", len(text), size, text)
			}
			got.Floor = max(got.Floor, part.Floor)
			got.Progress = append(got.Progress, part.Progress...)
			got.Answers = append(got.Answers, part.Answers...)
		}
		if fmt.Sprint(got) != fmt.Sprint(whole) {
			t.Fatalf("the pieces of %+v make %+v", whole, got)
		}
	})
}

func TestPartsEndWhenTold(t *testing.T) {
	whole := Facts{Progress: []Progress{{"g", 1, 2}, {"g", 4, 5}}, Answers: []Answer{{"g", 1, true}, {"g", 2, true}}}
	for stop := 1; stop <= 4; stop++ {
		pieces := 0
		for range whole.Parts(0) {
			if pieces++; pieces == stop {
				break
			}
		}
		if pieces != stop {
			t.Errorf("%d pieces, want %d", pieces, stop)
		}
	}
}

// Facts have one text: what is read is written again byte for byte, and a book
// takes it.
func FuzzParseFacts(f *testing.F) {
	for _, text := range []string{
		`{"d":[["gw-1",17,42]],"a":[["gw-1",18],["gw-1",42]],"f":[["gw-2",42]]}`,
		`{"l":7,"d":[],"a":[],"f":[]}`, `{"d":[],"a":[],"f":[]}`, `{"d":[["g",5,2]],"a":[["g",0]],"f":[]}`,
		`{"l":18446744073709551615,"d":[["g",0,18446744073709551615]],"a":[],"f":[]}`, `{"d":[["g",1`, `null`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		facts, err := ParseFacts(text)
		if err != nil {
			return
		}
		if again := facts.AppendTo(nil); string(again) != string(text) || !json.Valid(text) {
			t.Fatalf("%q is written as %q", text, again)
		}
		b := NewBook(4)
		b.Apply(facts)
		if b.size > 4 || b.Floor() < facts.Floor {
			t.Fatalf("%q makes a book of %d above %d", text, b.size, b.Floor())
		}
	})
}

// A piece of a snapshot.
func BenchmarkParseFacts(b *testing.B) {
	var facts Facts
	for i := range uint64(3000) {
		facts.Answers = append(facts.Answers, Answer{fmt.Sprintf("gateway-%d", i/10), 1_000_000 + i, false})
	}
	text := facts.AppendTo(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFacts(text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(facts.Answers)), "ns/fact")
}
