// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxColumns is where lines of prose are wrapped.
const maxColumns = 100

// Lines have at most 100 columns, so that documents read well in a terminal and in a diff. Tables
// and code cannot be wrapped; the target of a link does not count.
func TestLinesAreShort(t *testing.T) {
	for _, d := range documents(t) {
		for _, l := range d.lines {
			if text := strings.TrimSpace(l.text); l.code || strings.HasPrefix(text, "|") || strings.HasPrefix(text, "<!--") {
				continue
			}
			text := linkTarget.ReplaceAllString(l.text, "]")
			if n := utf8.RuneCountInString(text); n > maxColumns {
				t.Errorf("%s:%d has %d columns; wrap it at %d", d.path, l.number, n, maxColumns)
			}
		}
	}
}

// homemade are words that this project once used in place of standard ones, with what to write.
var homemade = []struct{ word, write string }{
	{`what became of`, "the delivery status of"},
	{`\banew\b`, "again"},
	{`\bfarthest ?behind\b`, "minimum offset"},
	{`\bsurveying\b`, "key scan"},
	{`\bturnstile\b`, "handshake semaphore"},
	{`\bwhereabouts\b`, "position"},
	{`\bgoodbyes?\b`, "close frame"},
	{`\bhave their say\b`, "are serviced"},
	{`\bhas its say\b`, "is serviced"},
	{`\bonce a connection\b`, "once per connection"},
	{`\blet alone\b`, "not to mention: make it a second sentence"},
	{`\bgoes by\b`, "uses"},
	{`\bvouch(es|ed)?\b`, "confirm"},
	{`\btold of\b`, "reported"},
	{`\bis told to\b`, "gets"},
	{`\btells? (nobody|others|them)\b`, "report"},
	{`\bat the bound\b`, "at the limit"},
	{`\bsome \d`, "about"},
}

// Documents use the terms of the RFCs, Go, NATS and Prometheus.
func TestWordsAreStandard(t *testing.T) {
	type rule struct {
		*regexp.Regexp
		write string
	}
	var rules []rule
	for _, h := range homemade {
		rules = append(rules, rule{regexp.MustCompile(`(?i)` + h.word), h.write})
	}
	for _, d := range documents(t) {
		for _, l := range d.lines {
			for _, r := range rules {
				if found := r.FindString(inlineCode.ReplaceAllString(l.text, "`")); found != "" {
					t.Errorf("%s:%d: %q: write %q", d.path, l.number, found, r.write)
				}
			}
		}
	}
}
