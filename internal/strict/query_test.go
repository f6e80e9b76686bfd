// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"errors"
	"net/url"
	"slices"
	"testing"
)

func TestQuery(t *testing.T) {
	for _, tt := range []struct {
		raw         string
		strictField string // "-": it is taken
		pickField   string
		since       string
	}{
		{"", "-", "-", ""},
		{"since=k-1", "-", "-", "k-1"},
		{"&since=k-1&", "-", "-", "k-1"},
		{"s%69nce=%6b-1", "-", "-", "k-1"},
		{"since=a+b", "-", "-", "a b"},
		{"since", "-", "-", ""},
		{"since=%zz", "since", "since", ""},
		{"since=%", "since", "since", ""},
		{"since=%ff", "since", "since", ""},
		{"since=k-1;replay=latest", "since", "since", ""},
		{"since=k-1&since=k-1", "since", "since", ""},
		{"since=k-1&s%69nce=k-2", "since", "since", ""},
		{"since=k-1&trace=%zz&a=b;c", "trace", "-", "k-1"},
		{"Since=k-1", "Since", "-", ""},
		{"%zz=1&since=k-1", "%zz", "-", "k-1"},
		{"=1", "", "-", ""},
	} {
		for name, parse := range map[string]func(string, ...string) (Query, error){"ParseQuery": ParseQuery, "PickQuery": PickQuery} {
			want := map[string]string{"ParseQuery": tt.strictField, "PickQuery": tt.pickField}[name]
			q, err := parse(tt.raw, "since", "replay")
			field, refused := errors.AsType[*FieldError](err)
			if refused != (want != "-") || refused && field.Field != want || !refused && q["since"] != tt.since {
				t.Errorf("%s(%q) = %q, %v, want a problem with %q", name, tt.raw, q, err, want)
			}
		}
	}
}

// A query that is taken means the same to another reader; what others have in it does
// not matter to who picks.
func FuzzQuery(f *testing.F) {
	known := []string{"since", "limit", "type"}
	for _, raw := range []string{"", "since=10-1", "since=%zz", "since=1;limit=2", "since=1&since=2", "sinc%65=1", "a=b", "&&", "=", "limit", "since=a+b%20c", "since=%ff", "%73ince=1&limit=%00", "a=%zz&since=1"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := ParseQuery(raw, known...)
		values, otherErr := url.ParseQuery(raw)
		if wrong, ok := errors.AsType[*FieldError](err); err != nil && (!ok || wrong.Problem == "") {
			t.Errorf("%q: %v", raw, err)
		}
		if err == nil && otherErr != nil {
			t.Fatalf("%q is taken, and is wrong: %v", raw, otherErr)
		}
		picked, pickErr := PickQuery(raw, known...)
		if err == nil && pickErr != nil {
			t.Fatalf("%q is wrong only to who picks: %v", raw, pickErr)
		}
		for name, list := range values {
			switch ours := slices.Contains(known, name); {
			case !ours && err == nil:
				t.Errorf("%q is taken, with %s", raw, name)
			case ours && pickErr == nil && otherErr == nil && (len(list) != 1 || picked[name] != list[0]):
				t.Errorf("%q: %s is %q, another reads %q", raw, name, picked[name], list)
			}
		}
		if err == nil && len(q) != len(values) {
			t.Errorf("%q is read as %q, another reads %q", raw, q, values)
		}
	})
}
