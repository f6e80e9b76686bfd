// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/gatecast/gatecast/internal/settings"
)

// serveWith reads serve's settings from a configuration file's text.
func serveWith(c kong.Resolver) (*serveCmd, error) {
	var commands cli
	_, err := newParser(&commands, kong.Resolvers(c), kong.Writers(io.Discard, io.Discard)).Parse([]string{"serve"})
	return &commands.Serve, err
}

func TestConfigurationFileRefusals(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"a second document", "listen: :1\n---\nplaintext: true\n", "more than one YAML document"},
		{"a broken second document", "listen: :1\n---\na: b: c\n", "not a YAML mapping"},
		{"no value", "listen:\n", "line 1: listen: has no value"},
		{"null", "listen: ~\n", "listen: has no value"},
		{"a key twice", "listen: :1\nlisten: :2\n", "already defined"},
		{"a tag", "listen: !!binary aGk=\n", "want a single value"},
		{"an alias", "listen: &x :1\nnode: *x\n", "line 2: node: want a single value"},
		{"UTF-16", "\xff\xfel\x00", "configuration file: it is UTF-16"},
		{"UTF-16 without a mark", "n\x00o\x00", "configuration file: it is UTF-16"},
		{"Latin-1", "listen: :1\nnode: Z\xfcrich\n", "line 2 is not valid UTF-8"},
		{"an alias of a list", "a: &x [1]\nlisten: *x\n", "want a single value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := loadYAML(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// Editors of Windows put a byte order mark before a file.
func TestConfigurationFileByteOrderMark(t *testing.T) {
	c, err := loadYAML(strings.NewReader("\ufefflisten: :1\n"))
	if err != nil || c.(yamlConfig)["listen"] != ":1" {
		t.Errorf("%v, %v", c, err)
	}
}

// A configuration file has the values that a YAML parser finds in it; an error names an
// unknown key; and what was read can be written and read again.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"", "{}", "listen: :1\n", "rate-limit: 1\nping-interval: 1m\nmax-payload: 64KiB\nplaintext: true\nlog-level: warn\n",
		"lisen: :1\n", "config: x\n", "listen: [a]\n", "listen:\n", "listen: ~\n", "a: b: c", "listen: :1\n---\nplaintext: true\n",
		"listen: &x :1\nnode: *x\n", "<<: {listen: :1}\n", "listen: :1\nlisten: :2\n", "listen: !!binary aGk=\n", "? [a]\n: b\n", "rate-limit: 0x10\n",
		"trusted-proxies: 10.0.0.0/8, ::1\n", "listen: |\n  :1\n", "1: 2\n", "trace-sample: .nan\n", "retention: -1h\n", "listen: 'a''b'\n", "\xff\xfel\x00",
	} {
		f.Add([]byte(text))
	}
	known := knownSettings()
	f.Fuzz(func(t *testing.T, text []byte) {
		loaded, err := loadYAML(strings.NewReader(string(text)))
		if err != nil {
			return
		}
		c := loaded.(yamlConfig)
		var want map[string]string
		if err := yaml.Unmarshal(text, &want); err != nil {
			t.Fatalf("it is not YAML: %v", err)
		}
		if !maps.Equal(want, c) {
			t.Errorf("%q, YAML has %q", c, want)
		}
		written, err := yaml.Marshal(map[string]string(c))
		if err != nil {
			t.Fatal(err)
		}
		again, err := loadYAML(strings.NewReader(string(written)))
		if err != nil || !maps.Equal(again.(yamlConfig), c) {
			t.Errorf("%q, written as %q and read as %q: %v", c, written, again, err)
		}
		serve, err := serveWith(c)
		keys := slices.Sorted(maps.Keys(c))
		if i := slices.IndexFunc(keys, func(k string) bool { return !known[k] }); i >= 0 {
			// An invalid value can be reported first.
			if err == nil || len(keys) == 1 && !strings.Contains(err.Error(), strconv.Quote(keys[i])+" is not a setting") {
				t.Errorf("%q is accepted as a setting: %v", keys[i], err)
			}
			return
		}
		if err != nil {
			return
		}
		if v, set := c["listen"]; set && serve.Listen != v {
			t.Errorf("listen is %q, want %q", serve.Listen, v)
		}
		if err := serve.Validate(); err != nil && err.Error() == "" {
			t.Error("an error that says nothing")
		}
	})
}

// knownSettings has the name of every setting.
func knownSettings() map[string]bool {
	known := make(map[string]bool)
	for _, d := range settings.All() {
		known[d.Name] = true
	}
	return known
}
