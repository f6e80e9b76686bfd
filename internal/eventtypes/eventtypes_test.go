// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventtypes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const types = `
api.deployed:
  type: object
  required: [apiId]
  properties:
    apiId: {type: string, minLength: 1}
    vhosts: {type: array, items: {$ref: "#/$defs/host"}}
  $defs:
    host: {type: string, pattern: "^[a-z.]+$"}
gateway.note: true
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "types.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, eventType, payload string
		strict                   bool
		field                    string // "": nothing is wrong
	}{
		{"right", "api.deployed", `{"apiId":"weather","vhosts":["a.b"]}`, false, ""},
		{"missing", "api.deployed", `{}`, false, "payload"},
		{"nothing", "api.deployed", ``, false, "payload"},
		{"of a wrong type", "api.deployed", `{"apiId":7}`, false, "payload/apiId"},
		{"deep inside", "api.deployed", `{"apiId":"x","vhosts":["a","B"]}`, false, "payload/vhosts/1"},
		{"anything", "gateway.note", `[1]`, true, ""},
		{"unknown", "api.gone", `{}`, false, ""},
		{"unknown, strict", "api.gone", `{}`, true, "type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts, err := Open(write(t, types), c.strict)
			if err != nil {
				t.Fatal(err)
			}
			var payload []byte
			if c.payload != "" {
				payload = []byte(c.payload)
			}
			got := ts.Check(c.eventType, payload)
			if got == nil != (c.field == "") || got != nil && (got.Field != c.field || got.Problem == "") {
				t.Errorf("%+v, want field %q", got, c.field)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "\t", "YAML"},
		{"no mapping", "[1]", "YAML"},
		{"no type", "a b: true", "valid event type"},
		{"no schema", "a: {type: 7}", "schema of a"},
		{"of another file", "a: {$ref: 'file:///etc/passwd'}", "schema of a"},
		{"of the network", "a: {$ref: 'http://127.0.0.1/x'}", "schema of a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Open(write(t, c.text), false); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), false); err == nil {
		t.Error("no file is no error")
	}
}

// A file that cannot be used changes nothing; one that can does.
func TestLoadAnew(t *testing.T) {
	file := write(t, types)
	ts, err := Open(file, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text   string
		usable bool
		refuse bool // an empty payload, afterwards
	}{{"api.deployed: {type: 7}", false, true}, {"api.deployed: true", true, false}} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ts.Load(); (err == nil) != c.usable {
			t.Errorf("%s: %v", c.text, err)
		}
		if refused := ts.Check("api.deployed", []byte(`{}`)) != nil; refused != c.refuse {
			t.Errorf("after %s: refused %v", c.text, refused)
		}
	}
}
