// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/gatecast/gatecast/internal/settings"

	"github.com/alecthomas/kong"
)

// cli is the command line. Kong makes the commands from its fields and the flags from their
// tags; help and docs/reference are made from the same model.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run a node that sends events to gateways."`
	Demo    demoCmd    `cmd:"" help:"Run a node with gateways and events in a temporary folder."`
	Gateway gatewayCmd `cmd:"" help:"Register, list, show, remove, import and export gateways."`
	Token   tokenCmd   `cmd:"" help:"Add, list and revoke tokens of a gateway."`
	Publish publishCmd `cmd:"" help:"Publish one event, or many from standard input."`
	Tail    tailCmd    `cmd:"" help:"Connect as a gateway and print one event per line."`
	Stats   statsCmd   `cmd:"" help:"Print a node's stats as JSON."`
	Top     topCmd     `cmd:"" help:"Show a node's stats live in the terminal; q quits."`
	Bench   benchCmd   `cmd:"" help:"Load a node and measure latency and throughput."`
	Health  healthCmd  `cmd:"" help:"Exit with 0 if a node is ready."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// newParser returns the parser that fills c. Options that come later in the list replace the
// ones here, which tests use. A command line that cannot be built is a bug in the tags.
func newParser(c *cli, options ...kong.Option) *kong.Kong {
	options = append([]kong.Option{
		kong.Name("gatecast"),
		kong.Description("Send deploy events to API gateways over WebSocket, in order, within milliseconds."),
		kong.Configuration(loadYAML),
		kong.Vars{"version": buildVersion()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.ValueFormatter(flagHelp),
	}, options...)
	for _, typ := range settings.Types() {
		options = append(options, kong.NamedMapper(typ, settingMapper(typ)))
	}
	parser, err := kong.New(c, options...)
	if err != nil {
		panic("BUG: the command line does not build: " + err.Error())
	}
	setDetails(parser.Model.Node)
	return parser
}

// settingMapper returns kong's mapper for a setting's tag type. Package settings decodes its
// own types, so flags, variables, files and defaults accept the same texts.
func settingMapper(typ string) kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto(typ, &text); err != nil {
			return err
		}
		return settings.Decode(typ, text, target)
	}
}

// flagHelp returns what help says of a flag or an argument: its help, its default and its
// environment variables.
func flagHelp(v *kong.Value) string {
	text := v.Help
	if v.HasDefault && v.Default != "" {
		text += " Default: " + v.Default + "."
	}
	for _, name := range v.Tag.Envs {
		text += " [$" + name + "]"
	}
	return text
}

// flagError matches kong's errors about the value of one flag: name, problem, and the variable
// if the value is from one. Kong gives them as text only.
var flagError = regexp.MustCompile(`^--([a-z-]+): (.*?)(?: \(from envar (\w+)=".*"\))?$`)

// parseError returns the parser's error with the name that the user wrote, and where help
// is.
func parseError(err error, args []string) error {
	e, ok := errors.AsType[*kong.ParseError](err)
	if !ok {
		return fmt.Errorf("%w; see gatecast --help", err)
	}
	if refused, ok := errors.AsType[*settings.Error](err); ok {
		err = fmt.Errorf("%s: %s", source(e.Context, refused.Setting, "--"+refused.Setting), refused.Problem)
	} else if m := flagError.FindStringSubmatch(err.Error()); m != nil {
		err = fmt.Errorf("%s: %s", undecoded(args, m[1], m[3]), m[2])
	}
	command := "gatecast"
	if selected := e.Context.Selected(); selected != nil {
		command = selected.FullPath()
	}
	return fmt.Errorf("%w; see %s --help", err, command)
}

// undecoded returns the name by which the user gave a flag whose value cannot be decoded.
// Kong does not add such a flag to the context's path.
func undecoded(args []string, name, variable string) string {
	switch flag := "--" + name; {
	case variable != "":
		return variable
	case slices.ContainsFunc(args, func(a string) bool { return a == flag || strings.HasPrefix(a, flag+"=") }):
		return flag
	}
	return fileKey(name) // a default does not fail
}

// source returns the name by which the user gave a setting: the flag, the variable or the
// key of the configuration file, in the order of precedence. otherwise is for a setting with
// its default.
func source(k *kong.Context, name, otherwise string) string {
	for _, p := range slices.Backward(k.Path) { // the last of several flags counts
		if p.Flag == nil || p.Flag.Name != name {
			continue
		}
		if p.Resolved { // by loadYAML's resolver
			return fileKey(name)
		}
		return "--" + name
	}
	if variable := setVariable(k, name); variable != "" {
		return variable
	}
	return otherwise
}

func fileKey(name string) string { return "configuration file: " + name }

// setVariable returns the environment variable that sets a flag of the command, or "".
func setVariable(k *kong.Context, name string) string {
	for _, f := range k.Flags() {
		if f.Name != name {
			continue
		}
		for _, variable := range f.Envs {
			if _, set := os.LookupEnv(variable); set {
				return variable
			}
		}
	}
	return ""
}

// onCommandLine returns the names of the flags that the command line has.
func onCommandLine(k *kong.Context) map[string]bool {
	given := make(map[string]bool)
	for _, p := range k.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag.Name] = true
		}
	}
	return given
}

// commandPath returns the words of a command, without the program's name.
func commandPath(n *kong.Node) string {
	return strings.TrimPrefix(n.FullPath(), "gatecast ")
}
