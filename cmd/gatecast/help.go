// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/alecthomas/kong"
)

// A detail is what help says of a command beside its flags.
type detail struct {
	about    string // what the flags do not say; can be empty
	examples []string
}

// details has the detail of each command, by its words; "" is the program. Every command has
// an example. Lines have at most 80 columns, with the four of indentation that kong adds to
// examples. The page docs/reference/cli.md has the same texts.
var details = map[string]detail{
	"": {examples: []string{
		"gatecast demo --for 10s",
		"gatecast serve",
	}},
	"serve": {
		about: `Every setting is a flag, an environment variable and a key of the
configuration file, in that order of precedence.`,
		examples: []string{
			"gatecast serve --data-dir /var/lib/gatecast --max-connections 5000",
			"gatecast serve --config gatecast.yaml",
		},
	},
	"demo":    {examples: []string{"gatecast demo --for 10s"}},
	"gateway": {examples: []string{"gatecast gateway add Frankfurt --id eu --group prod"}},
	"gateway add": {
		about:    "Prints the gateway and its token, which is shown only once.",
		examples: []string{"gatecast gateway add Frankfurt --id eu --group prod"},
	},
	"gateway list":   {examples: []string{"gatecast gateway list --limit 100"}},
	"gateway show":   {examples: []string{"gatecast gateway show eu"}},
	"gateway remove": {examples: []string{"gatecast gateway remove eu"}},
	"token":          {examples: []string{"gatecast token add eu --expires-in 720h"}},
	"token add": {
		about:    "Prints the token, which is shown only once. A gateway has at most two.",
		examples: []string{"gatecast token add eu --expires-in 720h"},
	},
	"token list":   {examples: []string{"gatecast token list eu"}},
	"token revoke": {examples: []string{"gatecast token revoke eu 5f3c9a17"}},
	"publish": {
		about: "Prints the receipt of each event. With --stdin, each line is a whole event.",
		examples: []string{
			`gatecast publish --gateway eu --type api.deployed --payload '{"apiId":"a"}'`,
			`echo '{"all":true,"type":"api.deployed"}' | gatecast publish --stdin`,
		},
	},
	"tail": {
		about: `Reconnects after an interruption and resumes after the last event it printed.
Ctrl-C ends it.`,
		examples: []string{
			"GATECAST_TOKEN=gc_… gatecast tail --url wss://localhost:9243 --insecure",
		},
	},
	"stats": {examples: []string{"gatecast stats --gateway eu"}},
	"top":   {examples: []string{"gatecast top --interval 2s"}},
	"bench": {
		about: `Registers gateways named "bench-…", connects as them, publishes to them alone
and removes them at the end, also after an error or Ctrl-C.

The defaults fit a node with default settings: 1000 connections
(--max-connections) and 10 attempts per minute from one address (--rate-limit).
With a rate limit, bench connects at the node's pace if that takes at most two
minutes, and otherwise ends before it publishes.`,
		examples: []string{
			"gatecast bench --url wss://localhost:9243 --insecure --for 10s",
		},
	},
	"health": {
		about: `Asks the node on this machine, which it finds by the flags, variables and
configuration file of serve. --internal-url asks another node instead. Give
only one of --internal-url and --internal-listen: it also precedes the variable
of the other.`,
		examples: []string{"gatecast health", "gatecast health --internal-url http://10.0.0.7:9244"},
	},
}

// setDetails sets what kong prints below the help of a command, for it and all below it.
func setDetails(n *kong.Node) {
	d := details[commandPath(n)]
	if n.Parent == nil {
		d = details[""]
	}
	title := "Example:"
	if len(d.examples) > 1 {
		title = "Examples:"
	}
	n.Detail = strings.TrimSpace(d.about + "\n\n" + title + "\n\n    " + strings.Join(d.examples, "\n    "))
	for _, child := range n.Children {
		setDetails(child)
	}
}
