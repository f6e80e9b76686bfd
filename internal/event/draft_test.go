// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// usual is what the platform publishes.
const usual = `{"gatewayId":"g1","type":"api.deployed","payload":{"apiId":"7b6c1f2e-6f0a-4e57-9f43-0d3c6a2b1c9d","revision":42,"environment":"production","vhost":"api.example.com"},"correlationId":"0b7f8f6e-1b5a-4c73-8b53-7a2f8f1f0d11"}`

// unusual are texts that parsers are known to read in different ways, or not at all.
var unusual = []string{
	``, ` `, `{`, `}`, `{}}`, `{},`, `{,}`, `{"all"}`, `{"all":}`, `{"all":true,}`, `{,"all":true}`, `[]`, `null`, `5`, `"x"`, `true`,
	`{"all":true "type":"t"}`, `{"all":tru}`, `{"all":null}`, `{"all":1}`, `{"all":false}`, `{"ALL":true}`, `{"type":"a","type":"b"}`,
	`{"type":"a","Type":"b"}`, `{"type":"\u0061"}`, `{"type":"é"}`, `{"typ\u0065":"a"}`, `{"type":"a","typ\u0065":"b"}`, `{"gateway\u0049d":"g"}`, `{"gateway\u0069d":"g"}`, `{"type":null}`, `{"type":5}`,
	`{"type":"a`, `{"type":"a\"}`, "{\"type\":\"\x01\"}", "{\"type\":\"\xff\"}", `{"colour":1}`, `{"":1}`, "{\"\xff\":1}", `{"\ud800":1}`, `{"ſ":1}`, `{"\u017f":1}`,
	`{"gatewayIds":null}`, `{"gatewayIds":[]}`, `{"gatewayIds":["a",]}`, `{"gatewayIds":[,"a"]}`, `{"gatewayIds":["a" "b"]}`, `{"gatewayIds":["a"`, `{"gatewayIds":[null]}`, `{"gatewayIds":["a",1]}`,
	`{"gatewayIds":["a","b"],"gatewayIds":["c"]}`, `{"gatewayIds":[["a"]]}`, `{"gatewayIds":["\ud800"]}`, `{"gatewayIds":`, `{"gatewayIds":[`,
	`{"payload":}`, `{"payload":01}`, `{"payload":-}`, `{"payload":1.}`, `{"payload":.5}`, `{"payload":1e}`, `{"payload":+1}`, `{"payload":-0}`,
	`{"payload":"\x"}`, `{"payload":"\u12g4"}`, `{"payload":"\u12`, `{"payload":"\`, `{"payload":"\ud800"}`, `{"payload":"\ud83d\ude00"}`, "{\"payload\":\"\xff\"}", "{\"payload\":{\"\xff\":1}}", "{\"payload\":\"\t\"}",
	`{"payload":[1,]}`, `{"payload":[1 2]}`, `{"payload":{"a":1,}}`, `{"payload":{"a"}}`, `{"payload":{a:1}}`, `{"payload":{"a":1 "b":2}}`, `{"payload":[}`, `{"payload":{"a":1,"a":2}}`,
	`{"payload":{"a":1},"payload":{"b":2}}`, `{"payload":nul}`, `{"payload":NaN}`, "{\"payload\":1\v}", "\ufeff{}", "\ufeff\ufeff{}", "{}\ufeff", "\ufeff" + usual,
	"{\"payload\":\"\u2028\"}", `{"payload":"<&>"}`, `{"payload":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`,
	`{"key":"\ud800"}`, `{"key":"\udc00\ud800"}`, `{"key":"\ud83d\ude00"}`, `{"key":"\ud83d\u0041"}`, `{"key":"\ud83d"`, "{\"key\":\"Z\xfcrich\"}", "{\"key\":\"\xc0\xaf\"}", "{\"key\":\"\xed\xa0\x80\"}", `{"key":"\u0000"}`, "{\"key\":\"\x00\"}",
	"\xff\xfe{\x00}\x00", "\xfe\xff\x00{\x00}", "{\x00}\x00", `{"payload":1}{"payload":2}`, `{"payload":1} {}`, `{"type":"t"}x`,
	`{"key":"a","correlationId":"b","type":"t","payload":[1,-2.5e+3,0,{"b":null}],"all":true,"group":"eu","gatewayId":"g","gatewayIds":["a"],"i":1,"j":2,"i":3}`,
	`{"fields":{}}`, `{"fields":null}`, `{"fields":[]}`, `{"fields":{"a":1,"a":2}}`, `{"fields":{"a":{"b":1,"b":2}}}`, `{"fields":{"id":1}}`, `{"fields":{"\u0069d":1}}`,
	`{"fields":{"a":"\ud800"}}`, `{"fields":{"\ud800":1}}`, "{\"fields\":{\"\xff\":1}}", "{\"fields\":{\"a\":\"\xff\"}}", `{"fields":{"a":}}`, `{"fields":{"a" : [1 , 2] }}`, `{"fields":{"a":1},"fields":{}}`,
	`{"all":true,"type":"t","fields":{"userId":"u","é<":{"x":[1, 2]},"n":null}}`, `{"organizationId":"o","type":"t"}`, `{"organizationId":""}`, `{"organizationId":null}`, `{"organizationId":"o","group":"g","type":"t"}`,
	`{"payload":{"a":[1,-2.5e+3,0,{"b":null}],"c":[],"d":{},"e":"\"\\\/\b\f\n\r\t\u00e9","f":"é"}}`, "{\"payload\":{\n\t\"a\": true,\r\n\"b\": [ false , 0.1 ] }}",
}

func TestDraftReadsAsOthersDo(t *testing.T) {
	for _, text := range append(unusual, usual) {
		sameDraft(t, []byte(text))
	}
}

// FuzzParseDraft holds ParseDraft to another strict parser.
func FuzzParseDraft(f *testing.F) {
	f.Add([]byte(usual))
	for _, text := range unusual {
		f.Add([]byte(text))
	}
	f.Fuzz(sameDraft)
}

// strictDraft is ParseDraft by another parser of JSON, which is strict by itself: names
// are exact, names and values are Unicode, and nothing is there twice or is null. In
// the payload and the fields, it is set to be lenient.
func strictDraft(text []byte) (d Draft, err error) {
	lenient := []json.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	dec := jsontext.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))), lenient...)
	whole, err := dec.ReadValue()
	if err != nil {
		return d, err
	}
	whole = whole.Clone() // the decoder reads on
	if _, err := dec.ReadToken(); err != io.EOF {
		return d, errors.New("something follows")
	}
	if whole.Kind() != '{' {
		return d, errors.New("not an object")
	}
	if err := outerUnique(whole); err != nil { // inside the payload it may be
		return d, err
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(whole, &members, lenient...); err != nil {
		return d, err
	}
	d.Payload = []byte(members["payload"].Clone())
	if !utf8.Valid(d.Payload) {
		return d, errors.New("payload is not UTF-8")
	}
	if d.Payload != nil {
		members["payload"] = jsontext.Value("0")
	}
	d.Fields = []byte(members["fields"].Clone())
	if !utf8.Valid(d.Fields) {
		return d, errors.New("a field is not UTF-8")
	}
	delete(members, "fields")
	for name, value := range members {
		if value.Kind() == 'n' || value.Kind() == 'f' || string(value) == `""` && (strings.HasPrefix(name, "g") || name == "organizationId") {
			return d, fmt.Errorf("%s is empty", name)
		}
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return d, err
	}
	var shape struct {
		GatewayID      string     `json:"gatewayId"`
		GatewayIDs     *[]*string `json:"gatewayIds"`
		Group          string     `json:"group"`
		OrganizationID string     `json:"organizationId"`
		All            bool       `json:"all"`
		Type           string     `json:"type"`
		Payload        int        `json:"payload"`
		CorrelationID  string     `json:"correlationId"`
		Key            string     `json:"key"`
	}
	if err := json.Unmarshal(rest, &shape, json.RejectUnknownMembers(true)); err != nil {
		return d, err
	}
	if shape.GatewayIDs != nil {
		if len(*shape.GatewayIDs) == 0 || slices.Contains(*shape.GatewayIDs, nil) {
			return d, errors.New("gatewayIds is empty")
		}
		for _, id := range *shape.GatewayIDs {
			d.GatewayIDs = append(d.GatewayIDs, *id)
		}
	}
	d.OrganizationID = shape.OrganizationID
	d.GatewayID, d.Group, d.All, d.Type, d.CorrelationID, d.Key = shape.GatewayID, shape.Group, shape.All, shape.Type, shape.CorrelationID, shape.Key
	return d, nil
}

// outerUnique reports a name that is twice in the outermost object.
func outerUnique(object jsontext.Value) error {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if seen[name.String()] {
			return fmt.Errorf("%s is there twice", name)
		}
		seen[name.String()] = true
		if err := dec.SkipValue(); err != nil {
			return err
		}
	}
	return nil
}

// sameDraft checks that ParseDraft takes what the other parser takes, and that the
// draft, and the event that is made of it, are the same.
func sameDraft(t *testing.T, text []byte) {
	want, wantErr := strictDraft(text)
	got, err := ParseDraft(text)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v, want %v", text, err, wantErr)
	}
	if err != nil {
		field, ok := errors.AsType[*FieldError](err)
		if ok == errors.Is(err, ErrSyntax) || ok && (field.Problem == "" || !utf8.ValidString(field.Field)) {
			t.Fatalf("%q: %#v is neither of a field nor of the syntax", text, err)
		}
		return
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
	if gotEvent != nil && !utf8.Valid(gotEvent.AppendBody(nil)) {
		t.Fatalf("%q makes an event that is not UTF-8", text)
	}
}

// An error names the field that is invalid.
func TestDraftNamesTheField(t *testing.T) {
	for text, want := range map[string]string{
		`{"GATEWAYID":"g","type":"t"}`:                 "GATEWAYID",
		`{"gatewayId":"g","type":"t","gatewayId":"h"}`: "gatewayId",
		`{"gatewayId":"g","gateway\u0049d":"h"}`:       "gatewayId",
		"{\"gatewayId\":\"g\",\"key\":\"Z\xfcrich\"}":  "key",
		`{"gatewayId":"g","key":"\ud800"}`:             "key",
		`{"gatewayId":"g","correlationId":"\udfff"}`:   "correlationId",
		`{"gatewayIds":["g","\udfff"],"type":"t"}`:     "gatewayIds[1]",
		`{"gatewayIds":["g",null],"type":"t"}`:         "gatewayIds[1]",
		"{\"all\":true,\"payload\":[\"\xff\"]}":        "payload",
		"{\"all\":true,\"\xff\":1}":                    "\ufffd",
		`{"gatewayId":"g","group":""}`:                 "group",
		`{"gatewayId":"g","group":null}`:               "group",
		`{"gatewayId":"g","organizationId":""}`:        "organizationId",
		`{"organizationId":7}`:                         "organizationId",
		`{"gatewayId":"g","gatewayIds":[]}`:            "gatewayIds",
		`{"gatewayId":"g","all":false}`:                "all",
		`{"gatewayId":null,"all":true}`:                "gatewayId",
		`{"gatewayId":"g","correlationId":null}`:       "correlationId",
		`{"Payload":1,"all":true,"type":7}`:            "Payload",
		`{"all":true,"type":["t"]}`:                    "type",
	} {
		_, err := ParseDraft([]byte(text))
		if field, ok := errors.AsType[*FieldError](err); !ok || field.Field != want {
			t.Errorf("%s: %v, want it to be about %q", text, err, want)
		}
	}
}

// Limits are in characters, as JSON Schema counts.
func TestDraftLengths(t *testing.T) {
	for _, field := range []string{"key", "correlationId"} {
		for text, ok := range map[string]bool{
			strings.Repeat("x", 256): true, strings.Repeat("x", 257): false,
			strings.Repeat("ä", 256): true, strings.Repeat("ä", 257): false,
			strings.Repeat("😀", 256): true, strings.Repeat("😀", 257): false,
			strings.Repeat(`\ud83d\ude00`, 256): true, strings.Repeat(`\u0000`, 257): false,
		} {
			d, err := ParseDraft([]byte(`{"all":true,"type":"t","` + field + `":"` + text + `"}`))
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Event(someTime, func() string { return "made" })
			f, isField := errors.AsType[*FieldError](err)
			if (err == nil) != ok || !ok && (!isField || f.Field != field) {
				t.Errorf("%s of %q…: %v", field, text[:8], err)
			}
		}
	}
}

// Random drafts, as encoding/json writes them, with and without indentation.
func TestPropertyDraftReadsAsOthersDo(t *testing.T) {
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(3) })
	rapid.Check(t, func(t *rapid.T) {
		payload, err := json.Marshal(value.Draw(t, "payload"))
		if err != nil {
			t.Fatal(err)
		}
		d := Draft{
			GatewayID: rapid.String().Draw(t, "id"), GatewayIDs: rapid.SliceOf(rapid.String()).Draw(t, "ids"),
			Type: rapid.StringMatching(`[a-z.]*`).Draw(t, "type"), Payload: payload, All: rapid.Bool().Draw(t, "all"),
			OrganizationID: rapid.String().Draw(t, "organization"),
		}
		text, err := json.Marshal(d)
		if rapid.Bool().Draw(t, "indented") {
			text, err = json.Marshal(d, jsontext.WithIndent("\t"))
		}
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := strictDraft(text)
		got, gotErr := ParseDraft(text)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Draft{})); gotErr == nil && diff != "" || (wantErr == nil) != (gotErr == nil) {
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
	b.ReportAllocs()
	for b.Loop() {
		d, err := ParseDraft([]byte(usual))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Event(time.Time{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
