// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCursorText(t *testing.T) {
	for text, want := range map[string]Cursor{
		"k3f9-1042": {Epoch: 937557, Seq: 1042},
		"0-0":       {},
		"z-1":       {Epoch: 35, Seq: 1},
	} {
		got, err := ParseCursor(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseCursor(%q) = %v (%+v), %v", text, got, got, err)
		}
	}
	for _, bad := range []string{"", "-", "1", "1-", "-1", "1-2-3", "K3-1", "01-1", "1-01", "+1-1", "1-+1", "1--1", " 1-1", "1-1 ", "1-18446744073709551615", "1-99999999999999999999", "é-1"} {
		if c, err := ParseCursor(bad); err == nil {
			t.Errorf("ParseCursor(%q) = %v", bad, c)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	for _, seed := range []string{"k3f9-1042", "0-0", "01-1", "-", "z-18446744073709551615", "K-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCursor(s); err == nil && c.String() != s {
			t.Errorf("%q is read as %v", s, c)
		}
	})
}

func TestPropertyCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Cursor{Epoch: rapid.Uint64().Draw(t, "epoch"), Seq: rapid.Uint64Max(math.MaxUint64-1).Draw(t, "seq")}
		if got, err := ParseCursor(want.String()); err != nil || got != want {
			t.Fatalf("%v reads back as %v, %v", want, got, err)
		}
	})
}

func TestPropertyAppendString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`)).Draw(t, "s")
		var got string
		if err := json.Unmarshal(AppendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && got != s {
			t.Fatalf("%q reads back as %q", s, got)
		}
	})
}

var someTime = time.Date(2026, 11, 24, 3, 4, 5, 600, time.FixedZone("", 3600))

func TestBody(t *testing.T) {
	e := &Event{
		Target: Target{GatewayIDs: []string{"edge"}}, Type: "api.deployed", Payload: json.RawMessage(`{"a":1}`),
		Timestamp: someTime, CorrelationID: `c"1`,
	}
	body := e.AppendBody(nil)
	want := `{"type":"api.deployed","payload":{"a":1},"gatewayId":"edge","timestamp":"2026-11-24T02:04:05.000000600Z","correlationId":"c\"1"}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Error(diff)
	}
	c := Cursor{Epoch: 35, Seq: 7}
	full := AppendWithID(nil, body, c)
	if diff := cmp.Diff(`{"id":"z-7",`+want[1:], string(full)); diff != "" {
		t.Error(diff)
	}
	if n := SizeWithID(body, len("z-7")); n != len(full) {
		t.Errorf("SizeWithID = %d, want %d", n, len(full))
	}
	if h := ReadHead(full); h.Type != "api.deployed" || h.CorrelationID != `c"1` {
		t.Errorf("ReadHead = %+v", h)
	}
	if p, name := TraceparentOf(body), TypeOf(body); p != "" || name != "api.deployed" {
		t.Errorf("TraceparentOf = %q, TypeOf = %q", p, name)
	}
	e.Traceparent = "00-" + someTrace + "-" + someSpan + "-01"
	traced := e.AppendBody(nil)
	if diff := cmp.Diff(want[:len(want)-1]+`,"traceparent":"`+string(e.Traceparent)+`"}`, string(traced)); diff != "" {
		t.Error(diff)
	}
	if h := ReadHead(traced); h.CorrelationID != `c"1` || TraceparentOf(traced) != e.Traceparent {
		t.Errorf("ReadHead = %+v, TraceparentOf = %q", h, TraceparentOf(traced))
	}
	wide := (&Event{Target: Target{All: true}, Type: "t", Timestamp: someTime}).AppendBody(nil)
	if want := `{"type":"t","payload":null,"timestamp":"2026-11-24T02:04:05.000000600Z","correlationId":""}`; string(wide) != want {
		t.Errorf("got %s, want %s", wide, want)
	}
}

// Whatever the payload and the correlation id hold, the body is JSON, and its
// timestamp, type and traceparent are found.
func TestPropertyPublished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const forged = `,"traceparent":"00-` + someTrace + "-" + someSpan + `-01"}`
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`","correlationId":"`, forged, `"` + forged, forged[:len(forged)-2]}))
		payload, err := json.Marshal(text.Draw(t, "payload"))
		if err != nil {
			t.Fatal(err)
		}
		e := &Event{
			Target: Target{All: true}, Type: "t", Payload: payload,
			Timestamp:     time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")),
			CorrelationID: text.Draw(t, "correlation"),
			Traceparent:   Traceparent(rapid.SampledFrom([]string{"", "00-" + someTrace + "-" + someSpan + "-00"}).Draw(t, "traceparent")),
		}
		body := e.AppendBody(nil)
		if !json.Valid(body) {
			t.Fatalf("not JSON: %s", body)
		}
		if at, ok := Published(body); !ok || !at.Equal(e.Timestamp) {
			t.Fatalf("Published = %v, %v, want %v in %s", at, ok, e.Timestamp, body)
		}
		if p, name := TraceparentOf(body), TypeOf(body); p != e.Traceparent || name != e.Type {
			t.Fatalf("TraceparentOf = %q, want %q; TypeOf = %q in %s", p, e.Traceparent, name, body)
		}
	})
}

func TestPublishedOfSomethingElse(t *testing.T) {
	for _, body := range []string{"", "{}", `","correlationId":"`, `{"timestamp":"yesterday","correlationId":""}`} {
		if at, ok := Published([]byte(body)); ok {
			t.Errorf("Published(%q) = %v", body, at)
		}
	}
	for _, body := range []string{"", "{}", `"}`, `{"type":"`, `{"type":"a b"}`, `{"kind":"t"}`, `{"traceparent":"00-` + someTrace + `"}`} {
		if p, name := TraceparentOf([]byte(body)), TypeOf([]byte(body)); p != "" || name != "" {
			t.Errorf("%q: TraceparentOf = %q, TypeOf = %q", body, p, name)
		}
	}
	if h := ReadHead([]byte("nonsense")); h != (Head{}) {
		t.Errorf("ReadHead = %+v", h)
	}
}

func TestNames(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "A-b_9": true, strings.Repeat("x", 64): true,
		"": false, "a.b": false, "a b": false, "é": false, "a\n": false, strings.Repeat("x", 65): false,
	} {
		if got := ValidName(s); got != want {
			t.Errorf("ValidName(%q) = %v", s, got)
		}
	}
	for s, want := range map[string]bool{
		"t": true, "api.deployed": true, "a.1": true, "A_b.c": true, strings.Repeat("x", 128): true,
		"": false, "1a": false, ".a": false, "a.": false, "a..b": false, "a-b": false, "a\n": false, strings.Repeat("x", 129): false,
	} {
		if got := ValidType(s); got != want {
			t.Errorf("ValidType(%q) = %v", s, got)
		}
	}
}

func parse(text string) (*Event, error) {
	d, err := ParseDraft([]byte(text))
	if err != nil {
		return nil, err
	}
	return d.Event(someTime, func() string { return "made" })
}

func TestDraft(t *testing.T) {
	for text, want := range map[string]*Event{
		`{"gatewayId":"g","type":"t"}`:                                         {Target: Target{GatewayIDs: []string{"g"}}, CorrelationID: "made"},
		`{"gatewayIds":["a","b","a"],"type":"t","payload":[1, 2]}`:             {Target: Target{GatewayIDs: []string{"a", "b"}}, Payload: json.RawMessage(`[1,2]`), CorrelationID: "made"},
		`{"group":"eu","type":"t","correlationId":"c"}`:                        {Target: Target{Group: "eu"}, CorrelationID: "c"},
		`{"all":true,"type":"t","payload":null,"key":"k"} `:                    {Target: Target{All: true}, Payload: json.RawMessage(`null`), CorrelationID: "made", Key: "k"},
		"{\"all\":true,\"type\":\"t\",\"payload\":{\n \"a\" : \"b\\u00e9\" }}": {Target: Target{All: true}, Payload: json.RawMessage(`{"a":"b\u00e9"}`), CorrelationID: "made"},
	} {
		want.Type, want.Timestamp = "t", someTime
		got, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}

func TestDraftErrors(t *testing.T) {
	many := strings.Repeat(`"g",`, MaxGatewayIDs) + `"g"`
	for _, c := range []struct{ name, text, field string }{
		{"no target", `{"type":"t"}`, "gatewayId"},
		{"two targets", `{"gatewayId":"g","all":true,"type":"t"}`, "gatewayId"},
		{"all is false", `{"all":false,"type":"t"}`, "all"},
		{"no ids", `{"gatewayIds":[],"type":"t"}`, "gatewayIds"},
		{"bad id", `{"gatewayId":"a b","type":"t"}`, "gatewayId"},
		{"bad id in a list", `{"gatewayIds":["a","b c"],"type":"t"}`, "gatewayIds[1]"},
		{"too many ids", `{"gatewayIds":[` + many + `],"type":"t"}`, "gatewayIds"},
		{"bad group", `{"group":"a b","type":"t"}`, "group"},
		{"no type", `{"all":true}`, "type"},
		{"bad type", `{"all":true,"type":"a b"}`, "type"},
		{"type of another kind", `{"all":true,"type":5}`, "type"},
		{"ids of another kind", `{"gatewayIds":"g","type":"t"}`, "gatewayIds"},
		{"all of another kind", `{"all":"yes","type":"t"}`, "all"},
		{"unknown field", `{"all":true,"type":"t","colour":"red"}`, "colour"},
		{"long correlation id", fmt.Sprintf(`{"all":true,"type":"t","correlationId":%q}`, strings.Repeat("x", MaxCorrelationLen+1)), "correlationId"},
		{"long key", fmt.Sprintf(`{"all":true,"type":"t","key":%q}`, strings.Repeat("x", MaxKeyLen+1)), "key"},
		{"payload is not UTF-8", "{\"all\":true,\"type\":\"t\",\"payload\":\"\xff\"}", "payload"},
		{"empty", ``, ""},
		{"not JSON", `{"all"`, ""},
		{"not an object", `[1]`, ""},
		{"two objects", `{"all":true,"type":"t"}{}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.text)
			f, isField := errors.AsType[*FieldError](err)
			switch {
			case err == nil:
				t.Error("no error")
			case c.field == "" && !errors.Is(err, ErrSyntax):
				t.Errorf("error = %v, want one about the syntax", err)
			case c.field != "" && (!isField || f.Field != c.field || f.Problem == ""):
				t.Errorf("error = %v, want one about %s", err, c.field)
			}
		})
	}
}
