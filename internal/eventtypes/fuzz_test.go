// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventtypes

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
)

// A file of types is taken whole or not at all; each of its types can be an event's;
// and a payload is judged the same however often it is asked, and refused with a field
// and a reason.
func FuzzTypes(f *testing.F) {
	for _, text := range []string{
		types, "", "a: true", "a: false", "a: {$ref: '#'}", "a: {$ref: 'file:///etc/passwd'}", "a: {$ref: 'http://127.0.0.1/x'}", "a: {not: {}}",
		"a: {type: strin}", "a: {pattern: '('}", "a..b: true", "a: {1: 2}", "a: [1]", "- a", "a: .nan", "a: &x {properties: {b: *x}}",
		"a: {$ref: '#/$defs/b', $defs: {b: {$ref: '#/$defs/c'}, c: {$ref: '#/$defs/b'}}}", "a: {multipleOf: 0}", "a: {enum: [1, '1', null]}", "a: {format: uri}",
		"a: {$id: 'gatecast:b', $schema: 'http://nowhere/'}", "a: {additionalProperties: false, required: [b]}",
	} {
		f.Add([]byte(text), []byte(`{"b":{"b":1},"apiId":""}`))
		f.Add([]byte(text), []byte(`nul`))
	}
	f.Fuzz(func(t *testing.T, text, payload []byte) {
		file := filepath.Join(t.TempDir(), "types.yaml")
		save := func(b []byte) {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		save(text)
		ts, err := Open(file, true)
		if err != nil {
			if !strings.Contains(err.Error(), file) {
				t.Errorf("%v does not name the file", err)
			}
			return
		}
		all := ts.schemas.Load().docs
		for name := range all {
			if !event.ValidType(name) {
				t.Errorf("%q is a type", name)
			}
			wrong := ts.Check(name, payload)
			if !json.Valid(payload) && wrong == nil {
				t.Errorf("%s: %q passes", name, payload)
			}
			if wrong != nil && (!strings.HasPrefix(wrong.Field, "payload") || wrong.Problem == "") {
				t.Errorf("%s: %+v", name, wrong)
			}
			if spaced := ts.Check(name, append(bytes.Clone(payload), ' ')); (spaced == nil) != (wrong == nil) {
				t.Errorf("%s: %+v, and with a space after it %+v", name, wrong, spaced)
			}
		}
		if wrong := ts.Check("not.among.them", payload); all["not.among.them"] == nil && (wrong == nil || wrong.Field != "type") {
			t.Errorf("an unknown type: %+v", wrong)
		}
		save([]byte("a..b: true"))
		if err := ts.Load(); err == nil || len(ts.schemas.Load().docs) != len(all) {
			t.Errorf("%v, and %d types are left of %d", err, len(ts.schemas.Load().docs), len(all))
		}
	})
}
