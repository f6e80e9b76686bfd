// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/stats"
	"github.com/gatecast/gatecast/stats/metrics"

	"github.com/alecthomas/kong"
)

// renewReference is the command that writes docs/reference from the source.
const renewReference = "go test ./cmd/gatecast -run Reference -update"

// The pages of docs/reference that are made from the source say what the source says.
func TestReference(t *testing.T) {
	for name, text := range map[string]string{
		"settings.md": settingsPage(),
		"cli.md":      cliPage(),
		"metrics.md":  metricsPage(t),
	} {
		path := filepath.Join("..", "..", "docs", "reference", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if written, err := os.ReadFile(path); err != nil || string(written) != text {
			t.Errorf("docs/reference/%s is stale (%v); renew it with: %s", name, err, renewReference)
		}
	}
}

// generated is the first line of each page.
const generated = "<!-- Made from the source. Do not edit; renew with: " + renewReference + " -->\n\n"

// markdownTable writes a table, whose first row is its head.
func markdownTable(b *strings.Builder, rows ...[]string) {
	for i, row := range rows {
		b.WriteString("|")
		for _, cell := range row {
			b.WriteString(" " + strings.ReplaceAll(cell, "|", `\|`) + " |")
		}
		b.WriteString("\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	b.WriteString("\n")
}

// code returns text as code, and nothing for nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// anchor returns the target of a link to a heading.
func anchor(title string) string {
	return "#" + strings.ReplaceAll(strings.ToLower(title), " ", "-")
}

func settingsPage() string {
	var b strings.Builder
	b.WriteString(generated + `# Settings

Settings of ` + "`gatecast serve`" + `. Each has three forms. A form that stands higher in this table
precedes the ones below it:

| form | example |
|---|---|
| flag | ` + "`gatecast serve --max-connections 5000`" + ` |
| environment variable | ` + "`WS_MAX_CONNECTIONS=5000 gatecast serve`" + ` |
| key in the file of ` + "`--config`" + ` (or ` + "`GATECAST_CONFIG`" + `) | ` + "`max-connections: 5000`" + ` |

- The key is the name of the flag without the dashes. The [last section](#configuration-file) has a
  whole file.
- A variable that is set and empty counts as not set.
- An unknown key, a value that cannot be used, or two settings that contradict each other stop the
  start with exit code 2 and one line that names the setting.

Values:

| kind | how to write it |
|---|---|
| size | bytes, or with a unit: ` + "`1048576`, `1024KiB`, `1MiB`, `1GiB`" + ` |
| seconds | seconds, or with a unit: ` + "`90`, `1m30s`" + ` |
| duration | with a unit: ` + "`500ms`, `10s`, `1h30m`, `24h`" + ` |
| CIDRs | ranges or single addresses, with commas between them: ` + "`10.0.0.0/8,2001:db8::/32,192.0.2.7`" + ` |
| switch | ` + "`--plaintext`, `GATECAST_PLAINTEXT=true`, `plaintext: true`" + ` |

`)
	groups := settingGroups()
	b.WriteString("Topics:\n\n")
	for _, g := range groups {
		b.WriteString("- [" + g + "](" + anchor(g) + ")\n")
	}
	b.WriteString("- [Rules about several settings](#rules-about-several-settings)\n")
	b.WriteString("- [Configuration file](#configuration-file)\n\n")
	for _, g := range groups {
		b.WriteString("## " + g + "\n\n")
		rows := [][]string{{"setting", "variable", "default", "allowed", "meaning"}}
		for _, d := range settings.All() {
			if d.Group == g {
				byDefault := d.Default
				if d.Kind == "switch" {
					byDefault = "false"
				}
				rows = append(rows, []string{code("--" + d.Name), code(d.Env), code(byDefault), cmp.Or(limitsText(&d), d.Kind), d.Help})
			}
		}
		markdownTable(&b, rows...)
	}
	b.WriteString("## Rules about several settings\n\n")
	rows := [][]string{{"setting", "rule"}}
	for _, r := range settings.Relations() {
		rows = append(rows, []string{code("--" + r[0]), r[1]})
	}
	markdownTable(&b, rows...)
	b.WriteString("## Configuration file\n\nEvery key with its default. Keys without a default are commented out.\n\n```yaml\n" + settingsFile() + "```\n")
	return b.String()
}

// limitsText returns a setting's kind of value and its limits.
func limitsText(d *settings.Setting) string {
	if limits := d.Limits(); limits != "" && d.Kind != "" {
		return d.Kind + ": " + limits
	}
	return d.Limits()
}

// settingGroups returns the topics of settings, in order.
func settingGroups() (groups []string) {
	for _, d := range settings.All() {
		if !slices.Contains(groups, d.Group) {
			groups = append(groups, d.Group)
		}
	}
	return groups
}

// settingsFile returns a configuration file with every setting.
func settingsFile() string {
	var b strings.Builder
	for i, g := range settingGroups() {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("## " + g + "\n")
		for _, d := range settings.All() {
			switch {
			case d.Group != g:
			case d.Kind == "switch":
				b.WriteString(d.Name + ": false\n")
			case d.Default == "":
				b.WriteString("# " + d.Name + ":\n")
			default:
				b.WriteString(d.Name + ": " + yamlValue(d.Default) + "\n")
			}
		}
	}
	return b.String()
}

// yamlValue quotes what YAML would read in another way.
func yamlValue(text string) string {
	if strings.HasPrefix(text, ":") {
		return `"` + text + `"`
	}
	return text
}

// The configuration file of the settings page is valid and changes nothing.
func TestReferenceConfigurationFile(t *testing.T) {
	c, err := loadYAML(strings.NewReader(settingsFile()))
	if err != nil {
		t.Fatal(err)
	}
	serve, err := serveWith(c)
	if err != nil {
		t.Fatal(err)
	}
	want := settings.Defaults()
	if got := fmt.Sprintf("%+v", serve.Settings); got != fmt.Sprintf("%+v", want) {
		t.Errorf("the file gives %s, want %+v", got, want)
	}
}

func cliPage() string {
	app := newParser(new(cli)).Model
	var b strings.Builder
	b.WriteString(generated + `# Commands

`)
	rows := [][]string{{"command", "what it does"}}
	for _, n := range app.Leaves(true) {
		rows = append(rows, []string{"[`" + n.FullPath() + "`](" + anchor(n.FullPath()) + ")", n.Help})
	}
	markdownTable(&b, rows...)
	b.WriteString("`serve` and `demo` run on Linux only. All other commands run on Linux, macOS, FreeBSD and Windows.\n" + `
Exit codes:

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | wrong usage: an unknown flag, a value that cannot be used, a contradiction |

An error is one line on standard error: what is wrong, with which value, and what to do.

[Client commands](#flags-of-client-commands) wait up to 10 seconds for a node that is starting: for
its token file and its listener. Those that change something also wait until ` + "`/ready`" + ` is 200. They
then send their request once.

`)
	leaves := app.Leaves(true)
	b.WriteString("## Flags of client commands\n\nThese flags say which node a command talks to.\n\n")
	stats := leaves[slices.IndexFunc(leaves, func(n *kong.Node) bool { return n.Name == "stats" })]
	writeFlags(&b, stats, inNodeGroup)
	for _, n := range leaves {
		writeCommand(&b, n)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// writeCommand writes the section of a command.
func writeCommand(b *strings.Builder, n *kong.Node) {
	path := n.FullPath()
	b.WriteString("## " + path + "\n\n" + n.Help + "\n\n")
	d := details[commandPath(n)]
	if d.about != "" {
		b.WriteString(d.about + "\n\n")
	}
	usage := path
	for _, arg := range n.Positional {
		usage += " " + arg.Summary()
	}
	b.WriteString("Usage: `" + usage + " [flags]`\n\n```sh\n" + strings.Join(d.examples, "\n") + "\n```\n\n")
	if len(n.Positional) > 0 {
		rows := [][]string{{"argument", "meaning"}}
		for _, arg := range n.Positional {
			rows = append(rows, []string{code(arg.Summary()), arg.Help})
		}
		markdownTable(b, rows...)
	}
	serve := commandPath(n) == "serve"
	writeFlags(b, n, func(f *kong.Flag) bool {
		return (f.Group == nil || f.Group.Key != nodeGroup) && (!serve || f.Name == "config")
	})
	switch {
	case serve:
		b.WriteString("All other flags of `serve` are [settings](settings.md).\n\n")
	case slices.ContainsFunc(n.Flags, inNodeGroup):
		b.WriteString("It also has the [flags of client commands](#flags-of-client-commands).\n\n")
	}
}

// nodeGroup is the group of the flags by which client commands reach a node.
const nodeGroup = "Node"

func inNodeGroup(f *kong.Flag) bool { return f.Group != nil && f.Group.Key == nodeGroup }

// writeFlags writes a table of some flags of a command, nothing for none.
func writeFlags(b *strings.Builder, n *kong.Node, want func(*kong.Flag) bool) {
	rows := [][]string{{"flag", "variable", "default", "meaning"}}
	for _, f := range n.Flags {
		if !want(f) {
			continue
		}
		name := "--" + f.Name
		if !f.IsBool() {
			name += " " + f.FormatPlaceHolder()
		}
		required := ""
		if f.Required {
			required = "required"
		}
		rows = append(rows, []string{code(name), code(strings.Join(f.Envs, ", ")), cmp.Or(code(f.Default), required), f.Help})
	}
	if len(rows) > 1 {
		markdownTable(b, rows...)
	}
}

// metricTopics sort the metrics page. A metric that no topic has is in the last one.
var metricTopics = []struct {
	title    string
	prefixes []string // of names without gatecast_
}{
	{"Connections", []string{"connections", "gateways", "connects_", "disconnects_", "accept_", "handshake", "heartbeat_", "pings_", "slow_", "send_queue"}},
	{"Deliveries", []string{"deliver", "replay", "resyncs_", "events_compressed", "compression_"}},
	{"Publishing and the event log", []string{"events_published", "rejected_", "log_append"}},
	{"What gateways send", []string{"messages_", "acks_", "records_"}},
	{"Tokens and certificates", []string{"verification", "certificate_"}},
	{"The node", nil},
}

func metricsPage(t *testing.T) string {
	n := metrics.NewNode("v1")
	n.Published("api.deployed")
	n.CertificateNotAfter.WithLabelValues("gateways")
	n.CertificateNotAfter.WithLabelValues("internal")
	families, err := metrics.NewRegistry(n, []*stats.Shard{stats.NewShard()}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string][][]string)
	values := make(map[string]map[string]bool) // by "metric label"
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "gatecast_")
		if !ours {
			continue
		}
		labels := make(map[string]bool)
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
				key := code(f.GetName()) + "|" + code(l.GetName())
				if values[key] == nil {
					values[key] = make(map[string]bool)
				}
				values[key][l.GetValue()] = true
			}
		}
		title := metricTopic(name)
		sections[title] = append(sections[title], []string{
			code(f.GetName()), strings.ToLower(f.GetType().String()), code(strings.Join(slices.Sorted(maps.Keys(labels)), "`, `")), f.GetHelp(),
		})
	}
	var b strings.Builder
	b.WriteString(generated + `# Metrics

` + "`GET /metrics`" + ` on the internal listener, in Prometheus' format. It needs no token. In addition there
are the standard metrics of Go (` + "`go_…`" + `) and of the process (` + "`process_…`" + `).

- Times are seconds, sizes are bytes.
- Counters start at 0 with the process. Every series whose labels have a [fixed set of
  values](#label-values) exists from the start.
- No label has the id of a gateway, so the number of series does not grow with the fleet.

`)
	for _, topic := range metricTopics {
		b.WriteString("## " + topic.title + "\n\n")
		markdownTable(&b, append([][]string{{"metric", "type", "labels", "meaning"}}, sections[topic.title]...)...)
	}
	b.WriteString("## Label values\n\n")
	rows := [][]string{{"metric", "label", "values"}}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		metric, label, _ := strings.Cut(key, "|")
		list := code(strings.Join(slices.Sorted(maps.Keys(values[key])), "`, `"))
		switch label {
		case "`type`":
			if metric == "`gatecast_events_published_total`" {
				list = "event types, the first 200; further ones are `other`"
			}
		case "`version`":
			list = "version of gatecast"
		case "`goversion`":
			list = "version of Go"
		}
		rows = append(rows, []string{metric, label, list})
	}
	markdownTable(&b, rows...)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// metricTopic returns the topic of a metric, by its name without gatecast_.
func metricTopic(name string) string {
	for _, topic := range metricTopics {
		if slices.ContainsFunc(topic.prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return topic.title
		}
	}
	return metricTopics[len(metricTopics)-1].title
}
