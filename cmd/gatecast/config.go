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

	"github.com/gatecast/gatecast/internal/strict"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// A yamlConfig is a configuration file: settings of serve by their flags' names.
// A flag on the command line comes first, then the environment, then the file.
type yamlConfig map[string]string

// loadYAML reads a configuration file.
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
	if err == nil { // else a setting behind a line of --- would silently not count
		if err = d.Decode(new(yaml.Node)); err == nil {
			return nil, errors.New("configuration file: more than one YAML document; want one, without lines of ---")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the configuration file is not a YAML mapping of settings: %w", err)
	}
	c := make(yamlConfig, len(raw))
	for key, value := range raw {
		tag := value.ShortTag()
		if value.Kind != yaml.ScalarNode { // an alias has the tag of what it stands for
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

// Validate implements [kong.Resolver]: every key must be a setting of serve.
func (c yamlConfig) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	for _, command := range app.Children {
		if command.Name != "serve" {
			continue
		}
		for _, f := range command.Flags {
			known[f.Name] = f.Name != "config"
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if !known[key] {
			return fmt.Errorf("configuration file: %q is not a setting; see gatecast serve --help", key)
		}
	}
	return nil
}

// Resolve implements [kong.Resolver]. Kong asks for flags that the command line
// does not set, also when the environment does.
func (c yamlConfig) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	if value, ok := c[flag.Name]; ok {
		return value, nil
	}
	return nil, nil
}
