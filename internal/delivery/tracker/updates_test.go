// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

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

func TestUpdatesJSON(t *testing.T) {
	tests := []struct {
		name    string
		updates Updates
		text    string
	}{
		{"nothing", Updates{}, `{"d":[],"a":[],"f":[]}`},
		{"progress", Updates{Progress: []Progress{{"gw-1", 17, 42}, {"gw-2", 0, 1}}}, `{"d":[["gw-1",17,42],["gw-2",0,1]],"a":[],"f":[]}`},
		{"acks", Updates{Acks: []Ack{{"gw-1", 18, false}, {"gw-1", 42, false}, {"gw-2", 42, true}}},
			`{"d":[],"a":[["gw-1",18],["gw-1",42]],"f":[["gw-2",42]]}`},
		{"a floor", Updates{Floor: 7}, `{"l":7,"d":[],"a":[],"f":[]}`},
		{"the largest numbers", Updates{Floor: math.MaxUint64, Progress: []Progress{{"g", 0, math.MaxUint64}}},
			`{"l":18446744073709551615,"d":[["g",0,18446744073709551615]],"a":[],"f":[]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.updates.AppendTo(nil)); got != tt.text || !json.Valid([]byte(got)) {
				t.Errorf("got  %s\nwant %s", got, tt.text)
			}
			if got, err := Parse([]byte(tt.text)); err != nil || !reflect.DeepEqual(got, tt.updates) {
				t.Errorf("%s is read as %+v, %v", tt.text, got, err)
			}
		})
	}
}

func TestParseRejects(t *testing.T) {
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
			if f, err := Parse([]byte(text)); !errors.Is(err, errSyntax) {
				t.Errorf("it is read as %+v, %v", f, err)
			}
		})
	}
	_, err := Parse([]byte(`{"d":[["g",1,x]],"a":[],"f":[]}`))
	if err == nil || !strings.HasSuffix(err.Error(), "at byte 13") {
		t.Errorf("the error does not say where: %v", err)
	}
}

// The parts together are the whole. No part is longer than the limit unless it is one
// tuple.
func TestParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := drawUpdates(t)
		whole.Floor = rapid.Uint64Range(0, 3).Draw(t, "floor")
		size := rapid.IntRange(0, 400).Draw(t, "size")
		var got Updates
		for part := range whole.Parts(size) {
			n := len(part.Progress) + len(part.Acks)
			if n == 0 && part.Floor == 0 {
				t.Fatal("a part is empty")
			}
			if text := part.AppendTo(nil); len(text) > size && n > 1 {
				t.Fatalf("a part has %d bytes, want at most %d: %s", len(text), size, text)
			}
			got.Floor = max(got.Floor, part.Floor)
			got.Progress = append(got.Progress, part.Progress...)
			got.Acks = append(got.Acks, part.Acks...)
		}
		if fmt.Sprint(got) != fmt.Sprint(whole) {
			t.Fatalf("the parts of %+v together are %+v", whole, got)
		}
	})
}

func TestPartsStopsWithItsConsumer(t *testing.T) {
	whole := Updates{Progress: []Progress{{"g", 1, 2}, {"g", 4, 5}}, Acks: []Ack{{"g", 1, true}, {"g", 2, true}}}
	for stop := 1; stop <= 4; stop++ {
		parts := 0
		for range whole.Parts(0) {
			if parts++; parts == stop {
				break
			}
		}
		if parts != stop {
			t.Errorf("%d parts, want %d", parts, stop)
		}
	}
}

// Updates have one JSON form: what Parse accepts is written again byte for byte, and a
// Tracker can apply it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"d":[["gw-1",17,42]],"a":[["gw-1",18],["gw-1",42]],"f":[["gw-2",42]]}`,
		`{"l":7,"d":[],"a":[],"f":[]}`, `{"d":[],"a":[],"f":[]}`, `{"d":[["g",5,2]],"a":[["g",0]],"f":[]}`,
		`{"l":18446744073709551615,"d":[["g",0,18446744073709551615]],"a":[],"f":[]}`, `{"d":[["g",1`, `null`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		updates, err := Parse(text)
		if err != nil {
			return
		}
		if again := updates.AppendTo(nil); string(again) != string(text) || !json.Valid(text) {
			t.Fatalf("%q is written as %q", text, again)
		}
		b := New(4)
		b.Apply(updates)
		if b.size > 4 || b.Floor() < updates.Floor {
			t.Fatalf("%q gives size %d above floor %d", text, b.size, b.Floor())
		}
	})
}

// BenchmarkParse parses one part of a snapshot.
func BenchmarkParse(b *testing.B) {
	var updates Updates
	for i := range uint64(3000) {
		updates.Acks = append(updates.Acks, Ack{fmt.Sprintf("gateway-%d", i/10), 1_000_000 + i, false})
	}
	text := updates.AppendTo(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(updates.Acks)), "ns/update")
}
