// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// typeOf returns the type of a schema in words, with a link if it is a named
// one.
func typeOf(s node) string {
	if all := s.get("allOf").items(); len(all) == 1 {
		s = all[0]
	}
	if name := s.ref(); name != "" {
		return link(name)
	}
	if c := s.get("const"); c.ok() {
		return ticks(quote(c.text()))
	}
	switch t := s.get("type").text(); t {
	case "array":
		return "list of " + typeOf(s.get("items"))
	case "":
		return "any JSON"
	case "string":
		switch s.get("format").text() {
		case "date-time":
			return "time"
		case "uuid":
			return "UUID"
		}
		return t
	default:
		return t
	}
}

// article puts "a" or "an" before a type.
func article(text string) string {
	if strings.ContainsAny(strings.TrimPrefix(text, "[")[:1], "AEIOaeio") {
		return "an " + text
	}
	return "a " + text
}

// errorCode is the schema of error codes. The section "Errors" has the codes.
const errorCode = "ErrorCode"

// link returns a link to the section of a named schema.
func link(name string) string {
	if name == errorCode {
		return "[" + name + "](#errors)"
	}
	return fmt.Sprintf("[%s](#%s)", name, slug(name))
}

// boundsOf returns the values that a schema allows, in words.
func boundsOf(s node) string {
	var list []string
	if values := s.get("enum").texts(); len(values) > 0 && !explains(s.get("description").text(), values) {
		for i := range values {
			values[i] = ticks(values[i])
		}
		list = append(list, strings.Join(values, ", "))
	}
	if low, high := s.get("minimum").text(), s.get("maximum").text(); high != "" {
		list = append(list, cmp.Or(low, "0")+" to "+high)
	}
	list = append(list, countOf(s, "minLength", "maxLength", "characters"), countOf(s, "minItems", "maxItems", "items"))
	if p := s.get("pattern").text(); p != "" {
		list = append(list, ticks(p))
	}
	list = slices.DeleteFunc(list, func(t string) bool { return t == "" })
	return strings.Join(list, "; ")
}

// explains reports whether a description already names all values.
func explains(text string, values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !strings.Contains(text, ticks(v)) })
}

func countOf(s node, low, high, unit string) string {
	least, most := s.get(low).text(), s.get(high).text()
	switch {
	case most == "" && (least == "" || least == "1"): // not empty goes without saying
		return ""
	case most == "":
		return "at least " + least + " " + unit
	case least == "":
		return "at most " + most + " " + unit
	}
	return least + " to " + most + " " + unit
}

// about returns the description of a member: its own, or that of the schema it
// refers to.
func about(s node) string {
	text := s.get("description").text()
	for _, of := range []node{s, s.get("items")} {
		if text == "" && of.ref() != "" {
			text = of.follow().get("description").text()
		}
	}
	if text == "" && s.get("const").ok() {
		text = "Identifies the frame."
	}
	return withBounds(text, s)
}

// withBounds adds the default and the allowed values of a schema to a
// description.
func withBounds(text string, s node) string {
	text = strings.TrimSpace(text)
	if d := s.get("default").text(); d != "" && !strings.Contains(text, "Default") && !strings.Contains(text, "the default") {
		text += " Default: " + ticks(d) + "."
	}
	if b := boundsOf(s); b != "" {
		text += " Allowed: " + b + "."
	}
	return strings.TrimSpace(text)
}

// members returns the rows of a table of an object's members. Objects inside
// are flattened: their members have the name of the outer member before them.
func members(s node, prefix string) (rows [][]string) {
	required := s.get("required").texts()
	for _, name := range s.get("properties").names() {
		m := s.get("properties", name)
		always := "no"
		if slices.Contains(required, name) {
			always = "yes"
		}
		text := about(m)
		if own := s.get("x-members", name).text(); own != "" { // beside $ref there can be no description
			text = withBounds(own, m)
		}
		rows = append(rows, []string{ticks(prefix + name), typeOf(m), always, text})
		if m.get("properties").ok() {
			rows = append(rows, members(m, prefix+name+".")...)
		}
		if item := m.get("items"); item.get("properties").ok() {
			rows = append(rows, members(item, prefix+name+"[].")...)
		}
	}
	return rows
}

var memberHead = []string{"member", "type", "always", "meaning"}

// limits adds the table of x-limits.
func (p *page) limits(list node, at string) error {
	var rows [][]string
	for _, l := range list.items() {
		rows = append(rows, []string{l.get("what").text(), l.get("limit").text(), l.get("at").text()})
	}
	p.heading(2, "Limits")
	p.table([]string{"what", "limit", at}, rows)
	return checkConstants(list, "value")
}
