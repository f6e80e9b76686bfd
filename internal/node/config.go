// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/settings"
)

// A Config is what a node is made from. Start copies it.
type Config struct {
	settings.Settings // LogLevel and LogFormat are for whoever makes the Logger

	Version string       // of the program, for stats and metrics
	Logger  *slog.Logger // nil: nothing is logged
}

// Defaults returns the configuration of a node for which no setting is given.
func Defaults() Config { return Config{Settings: settings.Defaults()} }

// withDefaults returns the configuration with what depends on the machine or on other
// settings in the place of zero values.
func (c Config) withDefaults() Config {
	c.AdminTokenFile = cmp.Or(c.AdminTokenFile, filepath.Join(c.DataDir, "admin.token"))
	c.Shards = cmp.Or(c.Shards, runtime.GOMAXPROCS(0))
	if c.NodeID == "" {
		host, _ := os.Hostname() // an error leaves it empty, for which nodeName has a name
		c.NodeID = nodeName(host)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// nodeName makes a node's id from the name of its host.
func nodeName(host string) string {
	name := strings.Map(func(r rune) rune {
		if event.ValidName(string(r)) {
			return r
		}
		return '_'
	}, host)
	return cmp.Or(name[:min(len(name), event.MaxNameLen)], "node")
}
