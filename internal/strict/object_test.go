// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// texts are objects, and what is nearly one.
var texts = []string{
	`{}`, ` { } `, `{"a":1}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`, `{"a":[{"b":1},{"b":1,"\u0062":2}]}`, `{"a":"\ud800"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ude00\ud83d"}`,
	`{"a":"\ud83d\ud83d\ude00"}`, `{"\ud800":1}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}", "\ufeff{}", "\ufeff\ufeff{}", ``, `[]`, `null`, `{} {}`, `{"a":1,}`, `{"a" 1}`, `{"a":1]`, `{"a":tru}`,
	`{"a":01}`, `{"a":-}`, `{"a":1.e5}`, `{"a":1e+}`, `{"a":-0.0E-10}`, `{a:1}`, `{"a":"` + "\n" + `"}`, `{"a":"\x"}`, `{"a":"\u00g0"}`, `{"a":[1,[2,{"c":[]}],"",null,true,false]}`,
	`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"i":11}`, "{\"a\":\"\x7f\"}", "\xff\xfe{\x00}\x00",
}

// FuzzObject holds the reader to another strict parser: they take the same texts, and
// read the same from them.
func FuzzObject(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	f.Add([]byte(`{"a":`+strings.Repeat("[", maxDepth-1)+strings.Repeat("]", maxDepth-1)+`}`), true)
	f.Add([]byte(`{"a":`+strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth)+`}`), true)
	f.Fuzz(func(t *testing.T, text []byte, unique bool) {
		before := bytes.Clone(text)
		members, err := members(text, unique)
		if !bytes.Equal(text, before) {
			t.Fatal("the text has changed")
		}
		want, wantErr := otherMembers(text, unique)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q, unique %v: %v, another parser says %v", text, unique, err, wantErr)
		}
		if err == nil && fmt.Sprint(members) != fmt.Sprint(want) {
			t.Fatalf("%q: %q, want %q", text, members, want)
		}
		if field, ok := errors.AsType[*FieldError](err); err != nil && (ok == errors.Is(err, ErrSyntax) || ok && !utf8.ValidString(field.Error())) {
			t.Fatalf("%q: %#v is neither of a field nor of the syntax", text, err)
		}
	})
}

func members(text []byte, unique bool) (map[string]string, error) {
	m := map[string]string{}
	o := Read(text)
	if unique {
		o.Unique()
	}
	for o.Next() {
		name := string(o.Name())
		m[name] = string(o.Raw())
	}
	return m, o.Err()
}

func otherMembers(text []byte, unique bool) (map[string]string, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	options := []json.Options{jsontext.AllowDuplicateNames(!unique), jsontext.AllowInvalidUTF8(true)}
	var whole map[string]jsontext.Value
	if err := json.Unmarshal(text, &whole, options...); err != nil {
		return nil, err
	}
	if whole == nil {
		return nil, errors.New("null")
	}
	m := map[string]string{}
	for name, value := range whole {
		m[name] = string(value)
		if !utf8.Valid(value) {
			return nil, errors.New("not UTF-8")
		}
	}
	// Names are Unicode and unique, whatever is inside.
	dec := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, err := dec.ReadToken()
	for range m {
		name, nameErr := dec.ReadValue()
		var s string
		err = errors.Join(err, nameErr, json.Unmarshal(name, &s), dec.SkipValue())
	}
	if err == nil && dec.PeekKind() != '}' {
		err = errors.New("a name is there twice")
	}
	return m, err
}

func TestObjectValues(t *testing.T) {
	for _, tt := range []struct {
		text  string
		read  func(o *Object) any
		want  any
		field string // "": it is taken
	}{
		{`{"a":"é\u0041"}`, func(o *Object) any { return o.String() }, "éA", ""},
		{`{"a":"x\ud800"}`, func(o *Object) any { return o.String() }, nil, "a"},
		{`{"a":"x\ud800"}`, func(o *Object) any { return o.Text() }, "x\ufffd", ""},
		{`{"a":null}`, func(o *Object) any { return o.String() }, nil, "a"},
		{`{"a":null}`, func(o *Object) any { return o.Null() }, true, ""},
		{`{"a":{"b":[1]}}`, func(o *Object) any { return o.String() }, nil, "a"},
		{`{"a":true}`, func(o *Object) any { return o.Bool() }, true, ""},
		{`{"a":false}`, func(o *Object) any { return o.Bool() }, false, ""},
		{`{"a":"true"}`, func(o *Object) any { return o.Bool() }, nil, "a"},
		{`{"a":["b" , "\u0063"]}`, func(o *Object) any { return fmt.Sprint(o.Strings()) }, "[b c]", ""},
		{`{"a":[]}`, func(o *Object) any { return len(o.Strings()) }, 0, ""},
		{`{"a":["b",[1],"c"]}`, func(o *Object) any { return o.Strings() }, nil, "a[1]"},
		{`{"a":["b","\ud800"]}`, func(o *Object) any { return o.Strings() }, nil, "a[1]"},
		{`{"a":{"0":"b"}}`, func(o *Object) any { return o.Strings() }, nil, "a"},
		{`{"a": {"b" : 1} }`, func(o *Object) any { return fmt.Sprint(string(o.Raw()), o.Spaced()) }, `{"b" : 1}true`, ""},
		{`{"a": {"b":"c d"} }`, func(o *Object) any { return fmt.Sprint(string(o.Raw()), o.Spaced()) }, `{"b":"c d"}false`, ""},
		{`{"A":1}`, func(o *Object) any { return o.WrongCase("a", "b") }, true, ""},
		{`{"a":1}`, func(o *Object) any { return o.WrongCase("a", "b") }, false, ""},
	} {
		o := Read([]byte(tt.text))
		var got any
		for o.Next() {
			got = tt.read(&o)
		}
		err := o.Err()
		field, _ := errors.AsType[*FieldError](err)
		if tt.field == "" && (err != nil || got != tt.want) || tt.field != "" && (field == nil || field.Field != tt.field) {
			t.Errorf("%s: %v, %v, want %v or a problem with %q", tt.text, got, err, tt.want, tt.field)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, good := range map[string]bool{
		`{"a":1,"b":[{"a":1}]}`: true, `"x"`: true, ` 1e5 `: true, `"\ud83d\ude00"`: true,
		`{"a":1,"b":[{"a":1,"a":1}]}`: false, `"\ud800"`: false, `{"\ud800":1}`: false, "\"\xff\"": false,
	} {
		if err := Check([]byte(text)); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a\nb": "a\nb", "\ufeffa": "a", "\ufeff\ufeffa": "\ufeffa", "abcd\x00": "abcd\x00",
	} {
		if got, err := Text([]byte(text)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"\xff\xfea\x00": "UTF-16", "\xfe\xff\x00a": "UTF-16", "a\x00b\x00": "UTF-16", "\x00\x00\x00a": "UTF-16",
		"a\nb\nc\xff": "line 3", "\xed\xa0\x80": "line 1", "\ufeffa\n\xc0\xaf": "line 2",
	} {
		if got, err := Text([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %s", text, got, err, want)
		}
	}
}
