// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/json"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// usual is what the platform publishes.
const usual = `{"gatewayId":"g1","type":"api.deployed","payload":{"apiId":"7b6c1f2e-6f0a-4e57-9f43-0d3c6a2b1c9d","revision":42,"environment":"production","vhost":"api.example.com"},"correlationId":"0b7f8f6e-1b5a-4c73-8b53-7a2f8f1f0d11"}`

// The scanner need not read everything, but these it must: they are what it is
// there for.
func TestScannerReadsTheUsual(t *testing.T) {
	for _, text := range []string{
		usual,
		`{}`,
		` { "all" : true , "type" : "t" } `,
		`{"all":false,"group":"eu","key":"k"}`,
		`{"gatewayIds":[],"type":"t"}`,
		`{"gatewayIds":["a", "b" ],"type":"t"}`,
		`{"payload":{"a":[1,-2.5e+3,0,{"b":null}],"c":[],"d":{},"e":"\"\\\/\b\f\n\r\t\u00e9","f":"é"}}`,
		"{\"payload\":{\n\t\"a\": true,\r\n\"b\": [ false , 0.1 ] }}",
		`{"payload":"text"}`, `{"payload":7}`, `{"payload":null}`, `{"payload":1E9}`,
	} {
		if _, ok := scanDraft([]byte(text)); !ok {
			t.Errorf("gave up on %s", text)
		}
		sameDraft(t, []byte(text))
	}
}

// unusual are texts that the scanner leaves to encoding/json, or must find wrong.
var unusual = []string{
	``, ` `, `{`, `}`, `{}}`, `{},`, `{,}`, `{"all"}`, `{"all":}`, `{"all":true,}`, `{,"all":true}`, `[]`, `null`, `5`,
	`{"all":true "type":"t"}`, `{"all":tru}`, `{"all":null}`, `{"all":1}`, `{"ALL":true}`, `{"type":"a","type":"b"}`,
	`{"type":"a","Type":"b"}`, `{"type":"\u0061"}`, `{"type":"é"}`, `{"typ\u0065":"a"}`, `{"type":null}`, `{"type":5}`,
	`{"type":"a`, `{"type":"a\"}`, "{\"type\":\"\x01\"}", "{\"type\":\"\xff\"}", `{"colour":1}`, `{"":1}`,
	`{"gatewayIds":null}`, `{"gatewayIds":["a",]}`, `{"gatewayIds":[,"a"]}`, `{"gatewayIds":["a" "b"]}`, `{"gatewayIds":["a"`, `{"gatewayIds":[null]}`,
	`{"gatewayIds":["a","b"],"gatewayIds":["c"]}`, `{"gatewayIds":[["a"]]}`,
	`{"payload":}`, `{"payload":01}`, `{"payload":-}`, `{"payload":1.}`, `{"payload":.5}`, `{"payload":1e}`, `{"payload":+1}`, `{"payload":-0}`,
	`{"payload":"\x"}`, `{"payload":"\u12g4"}`, `{"payload":"\u12`, `{"payload":"\`, `{"payload":"\ud800"}`, "{\"payload\":\"\xff\"}", "{\"payload\":\"\t\"}",
	`{"payload":[1,]}`, `{"payload":[1 2]}`, `{"payload":{"a":1,}}`, `{"payload":{"a"}}`, `{"payload":{a:1}}`, `{"payload":{"a":1 "b":2}}`, `{"payload":[}`,
	`{"payload":{"a":1},"payload":{"b":2}}`, `{"payload":nul}`, `{"payload":NaN}`, "{\"payload\":1\v}", "\ufeff{}",
	"{\"payload\":\"\u2028\"}", `{"payload":"<&>"}`, `{"payload":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}`,
}

func TestScannerLeavesTheUnusual(t *testing.T) {
	for _, text := range unusual {
		sameDraft(t, []byte(text))
	}
}

// FuzzParseDraft holds the scanner to encoding/json.
func FuzzParseDraft(f *testing.F) {
	f.Add([]byte(usual))
	for _, text := range unusual {
		f.Add([]byte(text))
	}
	f.Fuzz(sameDraft)
}

// sameDraft checks that a draft that the scanner reads is the one that
// encoding/json reads, and so is the event that is made of it.
func sameDraft(t *testing.T, text []byte) {
	got, ok := scanDraft(text)
	if !ok {
		return
	}
	want, err := decodeDraft(text)
	if err != nil {
		t.Fatalf("%q is read, and is wrong: %v", text, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Draft{})); diff != "" {
		t.Fatalf("%q:\n%s", text, diff)
	}
	made := func() string { return "made" }
	wantEvent, wantErr := want.Event(someTime, made)
	gotEvent, gotErr := got.Event(someTime, made)
	if diff := cmp.Diff(wantEvent, gotEvent); diff != "" || fmt.Sprint(wantErr) != fmt.Sprint(gotErr) {
		t.Fatalf("%q: %v, want %v\n%s", text, gotErr, wantErr, diff)
	}
}

// Random drafts, as encoding/json writes them, with and without indentation.
func TestPropertyScannerAgrees(t *testing.T) {
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(3) })
	rapid.Check(t, func(t *rapid.T) {
		payload, err := json.Marshal(value.Draw(t, "payload"))
		if err != nil {
			t.Fatal(err)
		}
		d := Draft{
			GatewayID: rapid.String().Draw(t, "id"), GatewayIDs: rapid.SliceOf(rapid.String()).Draw(t, "ids"),
			Type: rapid.StringMatching(`[a-z.]*`).Draw(t, "type"), Payload: payload, All: rapid.Bool().Draw(t, "all"),
		}
		text, err := json.Marshal(d)
		if rapid.Bool().Draw(t, "indented") {
			text, err = json.MarshalIndent(d, " ", "\t")
		}
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := decodeDraft(text)
		got, gotErr := ParseDraft(text)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Draft{})); diff != "" || (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("%s: %v, want %v\n%s", text, gotErr, wantErr, diff)
		}
	})
}

func anyJSON(depth int) *rapid.Generator[any] {
	gens := []*rapid.Generator[any]{
		rapid.String().AsAny(), rapid.Float64Range(-1e300, 1e300).AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
	}
	if depth > 0 {
		inner := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(depth - 1) })
		gens = append(gens, rapid.SliceOfN(inner, 0, 4).AsAny(), rapid.MapOfN(rapid.String(), inner, 0, 4).AsAny())
	}
	return rapid.OneOf(gens...)
}

func TestPropertyValidType(t *testing.T) {
	pattern := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$`)
	text := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_.\n-]{0,8}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "s")
		if want := len(s) <= MaxTypeLen && pattern.MatchString(s); ValidType(s) != want {
			t.Fatalf("ValidType(%q) = %v", s, !want)
		}
	})
}

func BenchmarkDraft(b *testing.B) {
	for name, parse := range map[string]func([]byte) (Draft, error){"scanner": ParseDraft, "encoding-json": decodeDraft} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := parse([]byte(usual))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Event(time.Time{}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
