// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"

	"github.com/gatecast/gatecast/internal/settings"

	"github.com/alecthomas/kong"
)

// A serveCmd runs a node. Kong calls Validate of the embedded settings before Run.
type serveCmd struct {
	Config kong.ConfigFlag `help:"YAML file of these settings, by flag name." placeholder:"FILE" env:"GATECAST_CONFIG"`
	settings.Settings
}

// logText reports whether the log is text for people: by default on a terminal.
func (c *serveCmd) logText(w world) bool {
	_, terminal := asTerminal(w.err)
	return c.LogFormat == "text" || c.LogFormat == "" && terminal
}

// logHandler returns the handler of the node's log, which goes to standard error.
func (c *serveCmd) logHandler(w world) slog.Handler {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.logText(w) {
		return slog.NewTextHandler(w.err, options)
	}
	return slog.NewJSONHandler(w.err, options)
}
