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

// maxValues bounds the number of values in a file, counted as often as aliases
// repeat them: nine lines of aliases to aliases can stand for billions of
// values.
const maxValues = 100_000

// parse reads a file, YAML or JSON, into values as package jsonschema expects
// them: a map from event types to schemas. An empty file has no types.
func parse(text []byte) (map[string]any, error) {
	text, err := strict.Text(text)
	if err != nil {
		return nil, err
	}
	if trimmed := bytes.TrimSpace(text); bytes.HasPrefix(trimmed, []byte("{")) && json.Valid(trimmed) {
		return parseJSON(trimmed) // YAML does not accept all escapes of JSON
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
		return nil, errors.New("has more than one YAML document; remove the lines ---")
	}
	r := reader{resolving: make(map[*yaml.Node]bool)}
	value, err := r.value(&doc)
	if err != nil {
		return nil, err
	}
	if types, ok := value.(map[string]any); ok || value == nil {
		return types, nil
	}
	return nil, notMapping(errors.New("it is another type of value"))
}

// notMapping is the error for a file that does not have the expected form.
func notMapping(err error) error {
	return fmt.Errorf("is not a YAML mapping from event types to JSON Schemas: %w", err)
}

// parseJSON is parse for a JSON object.
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

// A reader turns YAML nodes into JSON values by the core schema of YAML 1.2:
// numbers, true, false and null are themselves, and everything else is text,
// also a date. Input that YAML 1.1 reads as another value, and input for which
// JSON has no value, is an error. One goroutine uses it.
type reader struct {
	count     int                 // values read so far
	resolving map[*yaml.Node]bool // aliases that are being read, to find cycles
}

// errorAt returns an error with the line of a node.
func errorAt(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: "+format, append([]any{n.Line}, args...)...)
}

// value returns the JSON value of a node.
func (r *reader) value(n *yaml.Node) (any, error) {
	if r.count++; r.count > maxValues {
		return nil, errorAt(n, "the file has more than %d values, counting repetition by aliases", maxValues)
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

// alias returns the value that an alias refers to.
func (r *reader) alias(n *yaml.Node) (any, error) {
	if r.resolving[n.Alias] {
		return nil, errorAt(n, "*%s refers to a value that contains it", n.Value)
	}
	r.resolving[n.Alias] = true
	defer delete(r.resolving, n.Alias)
	return r.value(n.Alias)
}

// sequence returns a list.
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

// mapping returns an object, with merge keys (<<) resolved.
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
	maps.Copy(merged, m) // the mapping's own names have precedence
	return merged, nil
}

// merge adds the names of a mapping, or of a list of mappings of which earlier
// ones have precedence.
func merge(to map[string]any, from any) error {
	list, ok := from.([]any)
	if !ok {
		list = []any{from}
	}
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return errors.New("<< needs a mapping or a list of mappings")
		}
		for name, v := range m {
			if _, known := to[name]; !known {
				to[name] = v
			}
		}
	}
	return nil
}

// nameIn returns the JSON name of a key: its text as written, also of numbers
// and dates.
func nameIn(key *yaml.Node) (string, error) {
	n := key
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	plain := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", errorAt(key, "a name is a list or a mapping; want text")
	case plain && (n.Value == "" || n.Value == "~"):
		return "", errorAt(key, "a name is missing; write text, or \"\" for an empty name")
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

// Numbers as JSON, the core schema of YAML 1.2 and its other bases write them.
var (
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	coreNumber = regexp.MustCompile(`^([-+]?)(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)
	baseNumber = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
)

// isPlainNumber reports whether text is a number of JSON. yaml does not say so
// for numbers that exceed float64.
func isPlainNumber(text string) bool { return jsonNumber.MatchString(text) }

// numberOf returns the JSON number of a scalar without quotes.
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
	return "", fmt.Errorf("%s is read by YAML parsers as different numbers, or as text; write it as in JSON, or in quotes", text)
}
