// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// A yamlConfig has the values of a configuration file by setting. A flag precedes a
// variable, and a variable precedes the file.
type yamlConfig map[string]string

// loadYAML reads a configuration file: one mapping from settings to scalar values. It leaves
// values as text, which kong decodes like flags.
func loadYAML(r io.Reader) (kong.Resolver, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if text, err = strict.Text(text); err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	var raw map[string]yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	err = d.Decode(&raw)
	if err == nil { // settings of a second document would silently be ignored
		if err = d.Decode(new(yaml.Node)); err == nil {
			return nil, errors.New("configuration file: more than one YAML document; remove lines of ---")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the configuration file is not a YAML mapping of settings: %w; want lines of NAME: VALUE", err)
	}
	// Tags are checked so that a list or a missing value is an error and not text.
	c := make(yamlConfig, len(raw))
	for key, value := range raw {
		tag := value.ShortTag()
		if value.Kind != yaml.ScalarNode { // an alias has the tag of its target
			tag = ""
		}
		switch tag {
		case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
			c[key] = value.Value
		case "!!null":
			return nil, fmt.Errorf("configuration file: line %d: %s: has no value; leave the line out for the default", value.Line, key)
		default:
			return nil, fmt.Errorf("configuration file: line %d: %s: want a single value", value.Line, key)
		}
	}
	return c, nil
}

// Validate implements [kong.Resolver]. Every key must be a setting, also for health, which
// uses only some.
func (c yamlConfig) Validate(*kong.Application) error {
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if !slices.ContainsFunc(settings.All(), func(d settings.Setting) bool { return d.Name == key }) {
			return fmt.Errorf("configuration file: %q is not a setting; see gatecast serve --help", key)
		}
	}
	return nil
}

// Resolve implements [kong.Resolver]. Kong calls it for flags that are not on the command
// line, also for those that a variable sets.
func (c yamlConfig) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	// Kong would let the file precede the variable.
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	if value, ok := c[flag.Name]; ok {
		return value, nil
	}
	return nil, nil // not in the file
}
