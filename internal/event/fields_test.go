// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// withFields returns the event of a draft with fields.
func withFields(text string) (*Event, error) {
	d, err := ParseDraft([]byte(`{"all":true,"type":"t","payload":{"a":1},"fields":` + text + `}`))
	if err != nil {
		return nil, err
	}
	return d.Event(someTime, func() string { return "c" })
}

// Envelope fields stand after the payload, in their order and without white space.
func TestFields(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                             "",
		` { } `:                          "",
		`{"userId":"u1"}`:                `,"userId":"u1"`,
		`{"b": 1, "a": [ {"x" : 1e3} ]}`: `,"b":1,"a":[{"x":1e3}]`,
		`{"\u0075serId":"\u0061"}`:       `,"userId":"\u0061"`,
		`{"n":null,"é<&>":{"a":1,"a":2},"x-y.z $":-0}`: `,"n":null,"é<&>":{"a":1,"a":2},"x-y.z $":-0`,
		`{"a":"\ud800"}`:                            `,"a":"\ud800"`,
		`{"` + strings.Repeat("é", 64) + `":1}`:     `,"` + strings.Repeat("é", 64) + `":1`,
		fieldsOf(16, `1`):                           "," + strings.Trim(fieldsOf(16, `1`), "{}"),
		`{"a":"` + strings.Repeat("x", 4088) + `"}`: `,"a":"` + strings.Repeat("x", 4088) + `"`,
	} {
		e, err := withFields(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		body := string(e.AppendBody(nil))
		if want := `{"type":"t","payload":{"a":1}` + want + `,"timestamp":"2026-11-24T02:04:05.000000600Z","correlationId":"c"}`; body != want {
			t.Errorf("%s: the body is\n%s, want\n%s", text, body, want)
		}
		if _, ok := readBody([]byte(body), e.Target); !ok {
			t.Errorf("%s: the quick way does not read %s", text, body)
		}
		before, fields, after := CutFields([]byte(body))
		if got := strings.TrimPrefix(want, ","); string(fields) != got || !json.Valid(append(before[:len(before):len(before)], after...)) {
			t.Errorf("%s: %s was cut into %s, %s and %s", text, body, before, fields, after)
		}
		if at, ok := Published([]byte(body)); !ok || !at.Equal(someTime) {
			t.Errorf("%s: published at %v, %v", text, at, ok)
		}
	}
}

// fieldsOf returns n fields with a value.
func fieldsOf(n int, value string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"f%d":%s`, i, value))
	}
	return "{" + strings.Join(list, ",") + "}"
}

// An error about envelope fields names the field.
func TestFieldsRefused(t *testing.T) {
	cases := map[string]string{
		`null`: "fields", `[]`: "fields", `"x"`: "fields", `1`: "fields", `true`: "fields",
		fieldsOf(17, `1`): "fields",
		`{"a":"` + strings.Repeat("x", 4089) + `"}`: "fields",
		`{"":1}`:                                "fields.",
		`{"a":1,"a":2}`:                         "fields.a",
		`{"a":1,"\u0061":2}`:                    "fields.a",
		`{"a\"b":1}`:                            `fields.a"b`,
		`{"a\\":1}`:                             `fields.a\`,
		`{"a\n":1}`:                             "fields.a\n",
		`{"\u2028":1}`:                          "fields.\u2028",
		`{"` + strings.Repeat("é", 65) + `":1}`: "fields." + strings.Repeat("é", 65),
		`{"\ud800":1}`:                          "fields.\ufffd",
		`{"\u0069d":1}`:                         "fields.id",
		`{"ok":1,"gatecast":1}`:                 "fields.gatecast",
		`{"gatecastNode":1}`:                    "fields.gatecastNode",
		`{"GateCast_x":1}`:                      "fields.GateCast_x",
		"{\"corre\u017fponds\":1,\"rea\u017fon\":\"x\"}": "fields.rea\u017fon",
	}
	for _, own := range ownNames {
		cases[`{"a":1,"`+own+`":{}}`] = "fields." + own
		cases[`{"`+strings.ToUpper(own)+`":null}`] = "fields." + strings.ToUpper(own)
	}
	for text, want := range cases {
		_, err := withFields(text)
		if f, ok := errors.AsType[*FieldError](err); !ok || f.Field != want || f.Problem == "" {
			t.Errorf("%s: %v, want it to be about %q", text, err, want)
		}
	}
}

// The names that fields cannot have are those of the contract with gateways.
func TestOwnNames(t *testing.T) {
	const want = "id type payload gatewayId timestamp correlationId traceparent key cursor reason resumed connectionId"
	if got := strings.Join(ownNames, " "); got != want {
		t.Errorf("own names are %s, want %s", got, want)
	}
}

// Whatever fields are accepted, a body with them is an event's, and has their values.
func TestPropertyFields(t *testing.T) {
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(2) })
	name := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9_.$ -]{1,20}`), rapid.String(), rapid.SampledFrom(ownNames))
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.MapOfN(name, value, 0, 18).Draw(t, "fields")
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		e, err := withFields(string(text))
		if err != nil {
			if f, ok := errors.AsType[*FieldError](err); !ok || !strings.HasPrefix(f.Field, "fields") {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		if rapid.Bool().Draw(t, "single") {
			e.Target = Target{GatewayIDs: []string{"edge"}}
		}
		body := e.AppendBody(nil)
		for _, read := range []func([]byte, Target) (time.Time, bool){readBody, readLaterBody} {
			if at, ok := read(body, e.Target); !ok || !at.Equal(someTime) {
				t.Fatalf("%s is read as an event of %v, %v", body, at, ok)
			}
		}
		var got, want map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		for name, v := range want {
			if fmt.Sprint(got[name]) != fmt.Sprint(v) {
				t.Fatalf("%s has %q: %v, want %v", body, name, got[name], v)
			}
		}
	})
}

// FuzzFields: what is accepted makes a body that gatecast reads, with at most the limits.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"userId":"u"}`, `{"id":1}`, `{"ID":1}`, `{"a":1,"a":2}`, `{"\u0061":[1, 2]}`, `{"a":"\ud800"}`,
		"{\"rea\u017fon\":1}", `{"gatecast":1}`, `{"a":{"b":`, "{\"\xff\":1}", fieldsOf(17, `{}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fields, err := checkFields(text)
		if err != nil {
			if field, ok := errors.AsType[*FieldError](err); !ok || !strings.HasPrefix(field.Field, "fields") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		e := Event{Target: Target{All: true}, Type: "t", Fields: fields, Timestamp: someTime, CorrelationID: "c"}
		body := e.AppendBody(nil)
		if _, ok := readBody(body, e.Target); !ok || len(fields) > MaxFieldsBytes {
			t.Fatalf("%q makes %q", text, body)
		}
		if _, ok := readLaterBody(body, e.Target); !ok {
			t.Fatalf("%q makes %q, which versions without fields do not read", text, body)
		}
		if again, err := checkFields(fields); err != nil || string(again) != string(fields) {
			t.Fatalf("%q becomes %q, %v", fields, again, err)
		}
	})
}

func BenchmarkReadBodyWithFields(b *testing.B) {
	e, err := withFields(`{"userId":"u1","tenant":{"id":"acme"},"schemaVersion":3}`)
	if err != nil {
		b.Fatal(err)
	}
	body := e.AppendBody(nil)
	b.ReportAllocs()
	for b.Loop() {
		if !isBody(body, e.Target) {
			b.Fatal()
		}
	}
}
