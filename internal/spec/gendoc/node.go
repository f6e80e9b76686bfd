// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A node is a value of a YAML document. It keeps the order of mappings, which
// is the order of the page. The zero node stands for a value that is absent.
type node struct {
	doc *yaml.Node // the whole document, for references
	n   *yaml.Node
}

// parse reads a YAML document.
func parse(text string) (node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return node{}, err
	}
	return node{doc.Content[0], doc.Content[0]}, nil
}

// ok reports whether the value is present.
func (v node) ok() bool { return v.n != nil }

// line returns the line of the value in the document.
func (v node) line() int { return v.n.Line }

// get returns a member of a mapping, at a path of names.
func (v node) get(path ...string) node {
	for _, name := range path {
		v = v.member(name)
	}
	return v
}

func (v node) member(name string) node {
	if v.n == nil || v.n.Kind != yaml.MappingNode {
		return node{}
	}
	for i := 0; i < len(v.n.Content); i += 2 {
		if v.n.Content[i].Value == name {
			return node{v.doc, v.n.Content[i+1]}
		}
	}
	return node{}
}

// names returns the names of a mapping in their order.
func (v node) names() (list []string) {
	if v.n == nil || v.n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(v.n.Content); i += 2 {
		list = append(list, v.n.Content[i].Value)
	}
	return list
}

// items returns the items of a list.
func (v node) items() (list []node) {
	if v.n == nil || v.n.Kind != yaml.SequenceNode {
		return nil
	}
	for _, item := range v.n.Content {
		list = append(list, node{v.doc, item})
	}
	return list
}

// text returns a scalar, or "" for anything else.
func (v node) text() string {
	if v.n == nil || v.n.Kind != yaml.ScalarNode {
		return ""
	}
	return v.n.Value
}

// texts returns a list of scalars.
func (v node) texts() (list []string) {
	for _, item := range v.items() {
		list = append(list, item.text())
	}
	return list
}

// ref returns the name that a reference ends with, or "" if the value is no
// reference.
func (v node) ref() string {
	text := v.get("$ref").text()
	return text[strings.LastIndex(text, "/")+1:]
}

// follow returns the value that a reference stands for, or the value itself.
func (v node) follow() node {
	for v.get("$ref").ok() {
		to := node{v.doc, v.doc}
		for name := range strings.SplitSeq(strings.TrimPrefix(v.get("$ref").text(), "#/"), "/") {
			name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
			to = to.get(name)
		}
		if !to.ok() {
			panic(fmt.Sprintf("line %d: %s does not exist", v.line(), v.get("$ref").text()))
		}
		v = to
	}
	return v
}

// json returns the value as indented JSON, in the order of the document.
func (v node) json() string {
	var s strings.Builder
	v.writeJSON(&s, "")
	return s.String()
}

func (v node) writeJSON(s *strings.Builder, indent string) {
	switch v.n.Kind {
	case yaml.MappingNode:
		writeJSONList(s, indent, "{}", len(v.n.Content)/2, v.short(), func(i int, indent string) {
			s.WriteString(quote(v.n.Content[2*i].Value) + ": ")
			node{v.doc, v.n.Content[2*i+1]}.writeJSON(s, indent)
		})
	case yaml.SequenceNode:
		writeJSONList(s, indent, "[]", len(v.n.Content), v.short(), func(i int, indent string) {
			node{v.doc, v.n.Content[i]}.writeJSON(s, indent)
		})
	default:
		if v.n.Tag == "!!str" {
			s.WriteString(quote(v.n.Value))
		} else {
			s.WriteString(v.n.Value)
		}
	}
}

// short reports whether a value is written on one line, as in the document.
func (v node) short() bool { return v.n.Style&yaml.FlowStyle != 0 }

func writeJSONList(s *strings.Builder, indent, brackets string, n int, short bool, item func(i int, indent string)) {
	s.WriteByte(brackets[0])
	inner, between := indent+"  ", "\n"+indent+"  "
	if short || n == 0 {
		inner, between = indent, ""
	}
	for i := range n {
		switch {
		case i > 0 && between == "":
			s.WriteString(", ")
		case i > 0:
			s.WriteString(",")
		}
		s.WriteString(between)
		item(i, inner)
	}
	if between != "" {
		s.WriteString("\n" + indent)
	}
	s.WriteByte(brackets[1])
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(b)
}
