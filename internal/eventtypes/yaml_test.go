// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventtypes

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Values are in JSON what they are written as.
func TestYAMLValues(t *testing.T) {
	for text, want := range map[string]string{
		`{const: 2020-01-01}`:             `{"const":"2020-01-01"}`,
		`{const: 2020-01-01T12:00:00Z}`:   `{"const":"2020-01-01T12:00:00Z"}`,
		`{const: 2020-01-01 12:00:00}`:    `{"const":"2020-01-01 12:00:00"}`,
		`{const: !!timestamp 2020-01-01}`: `{"const":"2020-01-01"}`,
		`{properties: {2020-01-01: true, 1: false, 1e3: true, true: true, null: true, 0x10: true, 1_0: true}}`: `{"properties":{"0x10":true,"1":false,"1_0":true,"1e3":true,"2020-01-01":true,"null":true,"true":true}}`,
		`{enum: [yes, No, on, off, y, n, True, FALSE, ~, null, Null, "true", '5']}`:                            `{"enum":["yes","No","on","off","y","n",true,false,null,null,null,"true","5"]}`,
		`{enum: [1, -1, 1.0, 1.50, 1e3, 1E+3, 12345678901234567890123, 0.1, 1e400]}`:                           `{"enum":[1,-1,1.0,1.50,1e3,1E+3,12345678901234567890123,0.1,1e400]}`,
		`{enum: [+5, .5, 5., -.5e3, +5.e-3, 0o17, 0xfF]}`:                                                      `{"enum":[5,0.5,5,-0.5e3,5e-3,15,255]}`,
		`{enum: [1:30, 12:30:45, 1.2.3, 0o8, ., "017", !!str 017, !!int "5", !!float 5]}`:                      `{"enum":["1:30","12:30:45","1.2.3","0o8",".","017","017",5,5]}`,
		"\n    const: |\n      1\n      2\n":                                                                   `{"const":"1\n2\n"}`,
		`&x {a: &y [1], b: *y, c: {<<: {d: 1, a: 2}, d: 3}}`:                                                   `{"a":[1],"b":[1],"c":{"a":2,"d":3}}`,
		`{<<: [{a: 1}, {a: 2, b: 3}], c: 4}`:                                                                   `{"a":1,"b":3,"c":4}`,
		`{"<<": {a: 1}}`:                                                                                       `{"\u003c\u003c":{"a":1}}`,
		`{&k a: 1, b: {*k : 2}}`:                                                                               `{"a":1,"b":{"a":2}}`,

		`{const: .inf}`:          "no number",
		`{const: -.Inf}`:         "no number",
		`{const: .NaN}`:          "no number",
		`{const: 017}`:           "in quotes",
		`{const: 08}`:            "in quotes",
		`{const: -0x1f}`:         "in quotes",
		`{const: 0b11}`:          "in quotes",
		`{const: 1_000}`:         "in quotes",
		`{const: !!binary aGk=}`: "!!binary",
		`{const: !!set {a, b}}`:  "!!set",
		`{const: !mine 5}`:       "!mine",
		`{a: 1, a: 2}`:           "twice",
		`{a: 1, "a": 2}`:         "twice",
		`{1: 1, "1": 2}`:         "twice",
		`{[a]: 1}`:               "want text",
		`{~: 1}`:                 "name is missing",
		`{? : 1}`:                "name is missing",
		`{<<: 5}`:                "mapping",
		`&x {a: *x}`:             "refers to a value that contains it",
		`&x [*x]`:                "refers to a value that contains it",
		`{a: *nobody}`:           "unknown anchor",
	} {
		types, err := parse([]byte("t: " + text))
		got, _ := json.Marshal(types["t"])
		switch {
		case strings.HasPrefix(want, "{"):
			if err != nil || string(got) != want {
				t.Errorf("%s: %s, %v, want %s", text, got, err, want)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %s, %v, want an error with %q", text, got, err, want)
		}
	}
}

func TestParseFiles(t *testing.T) {
	deep := "a: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 20 {
		deep += fmt.Sprintf("a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i, i, i, i, i)
	}
	for _, c := range []struct{ name, text, want string }{ // want is JSON, or part of the error
		{"JSON", `{"a":{"const":"\ud83d\ude00\/"},"b.c":true}`, `{"a":{"const":"😀/"},"b.c":true}`},
		{"JSON with tabs", "{\n\t\"a\":\ttrue\n}\n", `{"a":true}`},
		{"JSON with a name twice", `{"a":{"const":1,"const":2}}`, "twice"},
		{"JSON with a name twice, once escaped", `{"a":true,"\u0061":false}`, "twice"},
		{"JSON with half a character", `{"a":{"const":"\ud83d"}}`, "half of a surrogate pair"},
		{"a byte order mark", "\ufeffa: true\n", `{"a":true}`},
		{"a byte order mark before JSON", "\ufeff{\"a\":true}", `{"a":true}`},
		{"nothing", "", `null`},
		{"a comment", "# nothing\n", `null`},
		{"one document", "---\na: true\n...\n", `{"a":true}`},
		{"two documents", "a: true\n---\nb: true\n", "more than one YAML document"},
		{"UTF-16", "\xff\xfea\x00:\x00 \x001\x00", "UTF-16"},
		{"UTF-16 without a mark", "a\x00:\x00 \x001\x00", "UTF-16"},
		{"Latin-1", "a: {const: Z\xfcrich}", "line 1 is not valid UTF-8"},
		{"a list", "[a]", "mapping"},
		{"an alias bomb", deep, "more than 100000 values"},
	} {
		types, err := parse([]byte(c.text))
		got, _ := json.Marshal(types)
		if string(got) != c.want && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

// A payload that is read must read the same to everybody; one that is passed on need not.
func TestAmbiguousPayload(t *testing.T) {
	ts, err := Open(write(t, "a: true\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	for payload, good := range map[string]bool{
		`{"a":1,"b":{"a":1}}`: true, `{"a":1,"a":2}`: false, `[{"a":1,"\u0061":2}]`: false, `"\ud800"`: false, `{"\ud800":1}`: false, `"\ud83d\ude00"`: true,
	} {
		if wrong := ts.Check("a", []byte(payload)); (wrong == nil) != good || wrong != nil && wrong.Field != "payload" {
			t.Errorf("%s: %+v", payload, wrong)
		}
		if wrong := ts.Check("b", []byte(payload)); wrong != nil {
			t.Errorf("%s of a type without a schema: %+v", payload, wrong)
		}
	}
}

// What a file says, written as JSON, says the same.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		types, "a: 2020-01-01", "a: {1e3: yes, 0o17: 0o17}", "a: &x {b: 1}\nb: {<<: *x, c: .5}", "a: &x [*x]", "{\"a\":\"\\ud83d\\ude00\"}", "\ufeffa: 1", "a: 017", "a: !!str 5", "a: {? [b] : c}",
		"a: 1\n---\nb: 2", "a: |\n  x\n", "? a\n: b", "a: {b: 1, b: 2}", "a: !!timestamp x", "a: 1_000", "a: .inf",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		types, err := parse(text)
		if err != nil {
			return
		}
		written, err := json.Marshal(types)
		if err != nil {
			t.Fatalf("%q cannot be written as JSON: %v", text, err)
		}
		again, err := parse(written)
		if err != nil || !reflect.DeepEqual(types, again) && len(types)+len(again) > 0 {
			t.Fatalf("%q is read as %s, and that as %v (%v)", text, written, again, err)
		}
	})
}
