// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"unicode"
)

// width is the longest line of prose, in characters. Tables and code are not
// wrapped.
const width = 100

// A page collects Markdown. It lists its headings for the contents.
type page struct {
	strings.Builder
	contents strings.Builder
}

// heading adds a heading. Those of level 2 and 3 appear in the contents.
func (p *page) heading(level int, text string) {
	fmt.Fprintf(p, "%s %s\n\n", strings.Repeat("#", level), text)
	if level == 2 || level == 3 {
		fmt.Fprintf(&p.contents, "%s- [%s](#%s)\n", strings.Repeat("  ", level-2), text, slug(text))
	}
}

// finish returns the page: title, introduction, contents, and everything that
// was added.
func (p *page) finish(title, source, introduction string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "# %s\n\n<!-- Generated from %s by: go generate ./internal/spec. Do not edit. -->\n\n", title, source)
	s.WriteString(wrap(introduction))
	fmt.Fprintf(&s, "\n## Contents\n\n%s\n", p.contents.String())
	s.WriteString(strings.TrimRight(p.String(), "\n") + "\n")
	return s.String()
}

// slug returns the anchor that renderers of Markdown give a heading.
func slug(heading string) string {
	var s strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			s.WriteRune(r)
		case r == ' ':
			s.WriteByte('-')
		}
	}
	return s.String()
}

// prose adds text as paragraphs and lists. Headings of level 2 in the text
// become headings of the given level.
func (p *page) prose(text string, level int) {
	for i, section := range strings.Split("\n"+text, "\n## ") {
		if i > 0 {
			var title string
			title, section, _ = strings.Cut(section, "\n")
			p.heading(level, title)
		}
		if section = strings.TrimSpace(section); section != "" {
			p.WriteString(wrap(section) + "\n")
		}
	}
}

// wrap wraps paragraphs and list items at width. Paragraphs are separated by
// empty lines; an item begins with "- " and goes on in indented lines.
func wrap(text string) string {
	var s strings.Builder
	var words []string
	indent := ""
	flush := func() {
		if len(words) > 0 {
			wrapWords(&s, words, indent)
		}
		words, indent = nil, ""
	}
	for _, line := range joinLines(text) {
		item, isItem := strings.CutPrefix(line, "- ")
		switch {
		case line == "":
			flush()
			s.WriteString("\n")
		case isItem:
			flush()
			words, indent = append([]string{"-"}, fields(item)...), "  "
		default:
			words = append(words, fields(line)...)
		}
	}
	flush()
	return s.String()
}

// joinLines joins the lines of each paragraph and each item. Empty lines stay.
func joinLines(text string) (list []string) {
	begin := true
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		line = strings.TrimSpace(line)
		if begin || line == "" || strings.HasPrefix(line, "- ") {
			list = append(list, line)
		} else {
			list[len(list)-1] += " " + line
		}
		begin = line == ""
	}
	return list
}

// fields splits a line into words. Code between backticks is one word.
func fields(line string) (words []string) {
	open := false
	for _, w := range strings.Fields(line) {
		if open {
			words[len(words)-1] += " " + w
		} else {
			words = append(words, w)
		}
		open = open != (strings.Count(w, "`")%2 == 1)
	}
	return words
}

// wrapWords writes words in lines of up to width characters, all but the first
// indented.
func wrapWords(s *strings.Builder, words []string, indent string) {
	n := 0
	for i, w := range words {
		size := len([]rune(w))
		switch {
		case i == 0:
		case n+1+size > width:
			s.WriteString("\n" + indent)
			n = len(indent)
		default:
			s.WriteByte(' ')
			n++
		}
		s.WriteString(w)
		n += size
	}
	s.WriteByte('\n')
}

// table adds a table, unless it has no rows.
func (p *page) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(p, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		for _, c := range row {
			fmt.Fprintf(p, "| %s ", cell(c))
		}
		p.WriteString("|\n")
	}
	p.WriteString("\n")
}

// cell returns text as the content of a table's cell.
func cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "–"
	}
	return strings.ReplaceAll(text, "|", `\|`)
}

// code adds a block of code.
func (p *page) code(language, text string) {
	fmt.Fprintf(p, "```%s\n%s\n```\n\n", language, strings.TrimRight(text, "\n"))
}

// ticks returns text as code within a sentence.
func ticks(text string) string { return "`" + text + "`" }
