// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventtypes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"regexp"
	"strings"

	"github.com/gatecast/gatecast/internal/strict"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// maxValues bounds the values in a file, counted as often as aliases repeat them: nine
// lines of aliases to aliases can stand for billions.
const maxValues = 100_000

// parse reads a file of types, YAML or JSON, into the JSON values that the validator
// takes.
func parse(text []byte) (map[string]any, error) {
	text, err := strict.Text(text)
	if err != nil {
		return nil, err
	}
	if trimmed := bytes.TrimSpace(text); bytes.HasPrefix(trimmed, []byte("{")) && json.Valid(trimmed) {
		return parseJSON(trimmed) // YAML would not take all of its escapes
	}
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF): // no types
		return nil, nil
	case err != nil:
		return nil, notMapping(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one YAML document; want one, without lines of ---")
	}
	r := reader{resolving: make(map[*yaml.Node]bool)}
	value, err := r.value(&doc)
	if err != nil {
		return nil, err
	}
	if types, ok := value.(map[string]any); ok || value == nil {
		return types, nil
	}
	return nil, notMapping(errors.New("it is another kind of value"))
}

func notMapping(err error) error {
	return fmt.Errorf("is not a YAML mapping from event types to JSON Schemas: %w", err)
}

func parseJSON(text []byte) (map[string]any, error) {
	if err := strict.Check(text); err != nil {
		return nil, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return value.(map[string]any), nil
}

// A reader makes JSON values of YAML nodes as YAML 1.2 reads them (its core schema): what
// is neither a number, true, false nor null is the text that it is written as, a
// date too. What YAML 1.1 reads as another value, and what JSON has no value for, is an
// error.
type reader struct {
	count     int
	resolving map[*yaml.Node]bool // aliases that are being read
}

func errorAt(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: "+format, append([]any{n.Line}, args...)...)
}

func (r *reader) value(n *yaml.Node) (any, error) {
	if r.count++; r.count > maxValues {
		return nil, errorAt(n, "there are more than %d values, counted as often as aliases repeat them", maxValues)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return r.value(n.Content[0])
	case yaml.AliasNode:
		return r.alias(n)
	case yaml.MappingNode:
		if tag := n.ShortTag(); tag != "!!map" {
			return nil, errorAt(n, "JSON has nothing for the tag %s", tag)
		}
		return r.mapping(n)
	case yaml.SequenceNode:
		if tag := n.ShortTag(); tag != "!!seq" {
			return nil, errorAt(n, "JSON has nothing for the tag %s", tag)
		}
		return r.sequence(n)
	}
	return scalar(n)
}

func (r *reader) alias(n *yaml.Node) (any, error) {
	if r.resolving[n.Alias] {
		return nil, errorAt(n, "*%s is inside what it stands for", n.Value)
	}
	r.resolving[n.Alias] = true
	defer delete(r.resolving, n.Alias)
	return r.value(n.Alias)
}

func (r *reader) sequence(n *yaml.Node) (any, error) {
	list := make([]any, 0, len(n.Content))
	for _, item := range n.Content {
		v, err := r.value(item)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (r *reader) mapping(n *yaml.Node) (any, error) {
	m := make(map[string]any, len(n.Content)/2)
	merged := make(map[string]any)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], n.Content[i+1]
		v, err := r.value(item)
		if err != nil {
			return nil, err
		}
		if key.ShortTag() == "!!merge" {
			if err := merge(merged, v); err != nil {
				return nil, errorAt(key, "%w", err)
			}
			continue
		}
		name, err := nameIn(key)
		if err != nil {
			return nil, err
		}
		if _, twice := m[name]; twice {
			return nil, errorAt(key, "the name %q appears twice", name)
		}
		m[name] = v
	}
	maps.Copy(merged, m) // a mapping's own names come first
	return merged, nil
}

// merge adds the names of a mapping, or of several, of which the first counts.
func merge(to map[string]any, from any) error {
	list, ok := from.([]any)
	if !ok {
		list = []any{from}
	}
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return errors.New("<< wants a mapping, or a list of them")
		}
		for name, v := range m {
			if _, known := to[name]; !known {
				to[name] = v
			}
		}
	}
	return nil
}

// nameOf returns the name that a key is in JSON: its text as it is written, a number's
// and a date's too.
func nameIn(key *yaml.Node) (string, error) {
	n := key
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	plain := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", errorAt(key, "a name is a list or a mapping; want a text")
	case plain && (n.Value == "" || n.Value == "~"):
		return "", errorAt(key, "a name is missing; want a text, or quotes around it")
	}
	return n.Value, nil
}

// scalar returns the JSON value of a scalar.
func scalar(n *yaml.Node) (any, error) {
	explicit := n.Style&yaml.TaggedStyle != 0
	tag := n.ShortTag()
	switch {
	case !explicit && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0,
		tag == "!!str" && (explicit || !isPlainNumber(n.Value)), tag == "!!timestamp":
		return n.Value, nil
	case explicit && tag != "!!int" && tag != "!!float" && tag != "!!bool" && tag != "!!null":
		return nil, errorAt(n, "JSON has nothing for the tag %s", tag)
	}
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		return nil, nil
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	number, err := numberOf(n.Value)
	if err != nil {
		return nil, errorAt(n, "%w", err)
	}
	return number, nil
}

var (
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	coreNumber = regexp.MustCompile(`^([-+]?)(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)
	baseNumber = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
)

// isPlainNumber reports whether JSON takes a text for a number: yaml does not when it
// is too large for a float64.
func isPlainNumber(text string) bool { return jsonNumber.MatchString(text) }

// numberOf returns the JSON number that a plain scalar stands for.
func numberOf(text string) (json.Number, error) {
	if isPlainNumber(text) {
		return json.Number(text), nil
	}
	if baseNumber.MatchString(text) && len(text) <= maxNumberLen {
		n, _ := new(big.Int).SetString(text, 0)
		return json.Number(n.String()), nil
	}
	if m := coreNumber.FindStringSubmatch(text); m != nil && strings.ContainsAny(m[2]+m[3], "0123456789") {
		whole, fraction := m[2], m[3]
		if whole == "" {
			whole = "0"
		}
		if fraction == "." {
			fraction = ""
		}
		return json.Number(strings.TrimPrefix(m[1], "+") + whole + fraction + m[4]), nil
	}
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case ".inf", ".nan":
		return "", fmt.Errorf("JSON has no number %s", text)
	}
	return "", fmt.Errorf("%s is read as one number by some and as another, or as text, by others; write it as JSON has it, or in quotes", text)
}
