// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const folder = "../../../docs/reference"

func TestPagesAreUpToDate(t *testing.T) {
	for _, p := range pages {
		want, err := p.make()
		if err != nil {
			t.Fatalf("%s: %v", p.file, err)
		}
		got, err := os.ReadFile(filepath.Join(folder, p.file))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/reference/%s is stale: run go generate ./internal/spec", p.file)
		}
	}
}

var (
	headings = regexp.MustCompile(`(?m)^#+ (.*)$`)
	links    = regexp.MustCompile(`\]\(#([^)]*)\)`)
)

// Every link within a page has exactly one target.
func TestLinks(t *testing.T) {
	for _, p := range pages {
		text, err := p.make()
		if err != nil {
			t.Fatal(err)
		}
		targets := map[string]int{}
		for _, h := range headings.FindAllStringSubmatch(text, -1) {
			targets[slug(h[1])]++
		}
		for _, l := range links.FindAllStringSubmatch(text, -1) {
			if targets[l[1]] != 1 {
				t.Errorf("%s: the link #%s has %d targets, want 1", p.file, l[1], targets[l[1]])
			}
		}
	}
}

// Prose has at most 100 characters in a line; tables, code and lines without spaces can be longer.
func TestLineLength(t *testing.T) {
	for _, p := range pages {
		text, err := p.make()
		if err != nil {
			t.Fatal(err)
		}
		code := false
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "```") {
				code = !code
			}
			prose := !code && !strings.HasPrefix(line, "|") && !strings.HasPrefix(strings.TrimSpace(line), "- [")
			if n := len([]rune(line)); prose && n > width {
				t.Errorf("%s:%d has %d characters: %s", p.file, i+1, n, line)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("word ", 30)
	for _, tt := range []struct{ name, text, want string }{
		{"lines are joined", "a\nb\n\nc", "a b\n\nc\n"},
		{"an item keeps its indentation", "- " + long, "- " + strings.TrimSpace(strings.Repeat("word ", 19)) + "\n  " + strings.TrimSpace(strings.Repeat("word ", 11)) + "\n"},
		{"an item over two lines", "x:\n- a\n  b\n- c", "x:\n- a b\n- c\n"},
		{"code is not cut", strings.Repeat("x", 95) + " `a b c`.", strings.Repeat("x", 95) + "\n`a b c`.\n"},
		{"code over two lines", "see `a\nb`", "see `a b`\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := wrap(tt.text); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestConstantsAreCompared(t *testing.T) {
	for text, want := range map[string]string{
		"[{go: event.MaxNameLen, value: 64}]":       "",
		"[{value: 1}]":                              "",
		"[{go: event.MaxNameLen, value: 65}]":       "value is 65, but event.MaxNameLen is 64",
		"[{go: event.Nothing, value: 65}]":          "gendoc knows no event.Nothing",
		"[{go: settings.max-payload, value: 2MiB}]": "value is 2MiB, but settings.max-payload is 1MiB",
		"[{go: settings.nothing, value: 1}]":        "gendoc knows no settings.nothing",
	} {
		list, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		switch err := checkConstants(list, "value"); {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got error %v, want %q", text, err, want)
		}
	}
}
