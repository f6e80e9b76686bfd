// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Command gatecast is an event notifier for API gateways. It holds their WebSocket
// connections and sends each gateway the events that a platform publishes.
//
// Each command is in a file of its own: its flags as a struct with kong's tags, and a Run
// method. The settings of serve are in package settings, examples for help in help.go.
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

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/internal/stopsignal"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// Exit codes. Scripts and supervisors depend on them.
const (
	exitOK     = 0 // done, or stopped by a signal
	exitFailed = 1 // the command was right and did not succeed
	exitUsage  = 2 // the command line, a variable or the configuration file is wrong
)

// A world is what a command can read and write: the standard streams. Commands use no other
// ones, so tests can run them in their own process.
type world struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(run(stopsignal.Context(), os.Args[1:], world{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs one command until it or ctx ends, and returns the exit code. It is the whole
// program but for the process: tests call it.
func run(ctx context.Context, args []string, w world) int {
	code, exited := exitOK, false
	parser := newParser(new(cli),
		kong.Writers(w.out, w.err),
		kong.Exit(func(c int) { code, exited = c, true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(w),
	)
	unsetEmpty(parser.Model.Node) // before kong reads variables
	for _, a := range args {
		if !utf8.ValidString(a) { // kong would replace the invalid bytes
			printError(w, fmt.Errorf("the argument %q is not valid UTF-8", a))
			return exitUsage
		}
	}
	kctx, err := parser.Parse(args)
	switch {
	case exited: // after --help or --version
		return code
	case err != nil:
		printError(w, parseError(err, args))
		return exitUsage
	}
	return exitCode(kctx, w, kctx.Run())
}

// unsetEmpty unsets the variables of all flags that are set but empty. Compose files and
// charts pass variables on in that way when nobody has set them.
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
		_ = os.Unsetenv(name) // fails for invalid names only
	}
}

// exitCode prints a command's error and returns the exit code. An error about a setting, such
// as a port in use, gets the name by which the user gave the setting.
func exitCode(k *kong.Context, w world, err error) int {
	if err == nil {
		return exitOK
	}
	_, usage := errors.AsType[*usageError](err)
	if e, ok := errors.AsType[*settings.Error](err); ok {
		err = fmt.Errorf("%s: %s", source(k, e.Setting, "--"+e.Setting), e.Problem)
	}
	printError(w, err)
	if usage {
		return exitUsage
	}
	return exitFailed
}

// printTimeout is how long an error may take to print. Standard error can be a pipe that
// nobody reads, and the command must end all the same.
const printTimeout = time.Second

// printError prints an error as one line.
func printError(w world, err error) {
	message := strings.Join(strings.Fields(err.Error()), " ") // errors.Join and servers have line breaks
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		fmt.Fprintln(w.err, "gatecast:", message)
	}()
	select {
	case <-printed:
	case <-time.After(printTimeout):
	}
}

// A usageError is wrong usage that the flags alone do not show.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

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
