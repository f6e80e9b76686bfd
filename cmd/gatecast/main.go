// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Command gatecast is a notifier for API gateways: it keeps their WebSocket
// connections and hands each of them the events that a platform publishes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatecast/gatecast/internal/node"
	"github.com/gatecast/gatecast/internal/stopsignal"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run a node: keep gateways' connections and hand them events."`
	Demo    demoCmd    `cmd:"" help:"Run a whole system in one process, in a temporary folder, and watch it work."`
	Gateway gatewayCmd `cmd:"" help:"Register gateways."`
	Token   tokenCmd   `cmd:"" help:"Rotate gateways' credentials."`
	Publish publishCmd `cmd:"" help:"Publish an event, or many from standard input."`
	Tail    tailCmd    `cmd:"" help:"Connect as a gateway and print each event on a line."`
	Stats   statsCmd   `cmd:"" help:"Print a node's stats as JSON."`
	Top     topCmd     `cmd:"" help:"Watch a node in the terminal; q ends it."`
	Bench   benchCmd   `cmd:"" help:"Put load on a node and measure its latency and throughput."`
	Health  healthCmd  `cmd:"" help:"Exit with 0 if a node is ready, for container health checks."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// A world is what a command may touch, so that tests can give it another.
type world struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(run(stopsignal.Context(), os.Args[1:], world{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs one command until it or ctx ends, and returns its exit code.
func run(ctx context.Context, args []string, w world) int {
	code, exited := exitOK, false
	parser, err := kong.New(new(cli),
		kong.Name("gatecast"),
		kong.Description("Hands deploy events to API gateways over WebSocket: in order, within milliseconds."),
		kong.Configuration(loadYAML),
		kong.Vars{"version": buildVersion()},
		kong.Writers(w.out, w.err),
		kong.Exit(func(c int) { code, exited = c, true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(w),
	)
	if err != nil {
		panic("BUG: the command line does not build: " + err.Error())
	}
	unsetEmpty(parser.Model.Node)
	for _, a := range args {
		if !utf8.ValidString(a) { // of which kong would make another text
			complain(w, fmt.Errorf("the argument %q is not valid UTF-8", a))
			return exitUsage
		}
	}
	kctx, err := parser.Parse(args)
	switch {
	case exited: // help or version was asked for
		return code
	case err != nil:
		complain(w, fmt.Errorf("%w; see gatecast --help", err))
		return exitUsage
	}
	return exitCode(w, kctx.Run())
}

// unsetEmpty unsets the variables of all flags that are set but empty: so compose
// passes on what is not set.
func unsetEmpty(n *kong.Node) {
	for _, f := range n.Flags {
		for _, name := range f.Envs {
			unsetIfEmpty(name)
		}
	}
	for _, child := range n.Children {
		unsetEmpty(child)
	}
}

func unsetIfEmpty(name string) {
	if value, set := os.LookupEnv(name); set && value == "" {
		_ = os.Unsetenv(name) // its error is about the name
	}
}

// exitCode reports a command's error and returns what to exit with.
func exitCode(w world, err error) int {
	if err == nil {
		return exitOK
	}
	complain(w, err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// complainTimeout is how long an error may take to be printed: standard error may be a
// pipe that nobody reads, and the command has to end.
const complainTimeout = time.Second

// complain prints an error as one line.
func complain(w world, err error) {
	if err == errSaid {
		return
	}
	message := strings.Join(strings.Fields(err.Error()), " ")
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		fmt.Fprintln(w.err, "gatecast:", message)
	}()
	select {
	case <-printed:
	case <-time.After(complainTimeout):
	}
}

// errSaid is the error of a command that has said what is wrong in its output.
var errSaid = errors.New("said")

// A usageError is a wrong way to call a command that its flags alone do not show.
type usageError struct{ error }

// asUsage makes err, if it is about a setting's value, a wrong usage.
func asUsage(err error) error {
	if _, ok := errors.AsType[*node.ConfigError](err); ok {
		return &usageError{err}
	}
	return err
}

// buildVersion returns the version set by the linker; otherwise the commit of a build in a Git
// checkout, or the module version of a build by `go install ...@VERSION`.
func buildVersion() string {
	if version != "dev" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return version + "-" + s.Value[:min(12, len(s.Value))]
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return version
}
