// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A topCmd shows the stats of one node: GET /stats and GET /ready, every interval.
type topCmd struct {
	adminFlags
	Interval time.Duration `help:"Time between two updates, at least 100ms." default:"1s" placeholder:"TIME"`
	Once     bool          `help:"Print once and exit, as without a terminal."`
}

// minInterval bounds what a viewer costs the node.
const minInterval = 100 * time.Millisecond

// Run shows the stats until a key or a signal ends it; without a terminal, once.
func (c *topCmd) Run(ctx context.Context, w world) error {
	if c.Interval < minInterval {
		return &usageError{fmt.Errorf("--interval: %v is out of range; want at least %v", c.Interval, minInterval)}
	}
	t := &top{flags: c.adminFlags}
	if err := t.flags.connect(ctx, false); err != nil { // not within the timeout of a poll
		return err
	}
	if err := t.poll(ctx); err != nil {
		return err
	}
	screen, ok := asTerminal(w.out)
	if c.Once || !ok {
		_, err := io.WriteString(w.out, strings.Join(t.view.lines(0, 0), "\n")+"\n")
		return err
	}
	return t.watch(ctx, screen, w.in, c.Interval)
}

// A top polls a node's stats. It belongs to one goroutine.
type top struct {
	flags adminFlags
	view  topView
}

// On a node with more than manyConnections, only every fullEvery-th poll lists all of them:
// a long list costs the node's loops and its encoder time that deliveries need.
const (
	manyConnections = 2000
	fullEvery       = 10
)

// pollTimeout is how long a node may take to respond to one poll.
const pollTimeout = 10 * time.Second

// poll fetches the stats and the readiness. An error leaves the view as it was.
func (t *top) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	v := &t.view
	path := "/stats"
	// The list decides by the last full one, since a short one has one connection.
	full := len(v.busiest) <= manyConnections || v.polls%fullEvery == 0
	if !full {
		path += "?limit=1"
	}
	var s nodeStats
	if err := t.get(ctx, apiRoot+path, &s); err != nil {
		return err
	}
	v.notReady = ""
	// A 503 is an error here; its message is the reason that the node gives.
	if err := t.get(ctx, "/ready", new(struct{})); err != nil {
		v.notReady = err.Error()
	}
	v.add(&s, full, time.Now())
	return nil
}

// get decodes the JSON of a path into response.
func (t *top) get(ctx context.Context, path string, response any) error {
	in, err := t.flags.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := json.NewDecoder(in).Decode(response); err != nil {
		return fmt.Errorf("the node's response cannot be decoded: %w", err)
	}
	return nil
}

// Control sequences of a terminal (ECMA-48 and xterm): the alternate screen without a cursor
// while top runs, and what is needed to overwrite the last frame without flicker.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// ctrlC is the byte that Ctrl-C sends in raw mode, in which it is not a signal.
const ctrlC = 3

// watch draws a frame every interval until a key or a signal ends it. It goes on while the
// node is unreachable.
func (t *top) watch(ctx context.Context, screen *os.File, in io.Reader, interval time.Duration) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if keys, ok := asTerminal(in); ok {
		// Raw mode, so that a key needs no Enter. It must be undone on every way out.
		old, err := term.MakeRaw(int(keys.Fd()))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, term.Restore(int(keys.Fd()), old)) }()
		go awaitQuit(keys, cancel) // ends with the process: a read of a terminal cannot be interrupted
	}
	if _, err := io.WriteString(screen, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(screen, leaveScreen) }()
	next := time.NewTicker(interval)
	defer next.Stop()
	for { // the first frame has what Run polled
		if err := t.draw(screen); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		t.view.failure = ""
		if err := t.poll(ctx); err != nil {
			t.view.failure, t.view.now = err.Error(), time.Now()
		}
	}
}

// draw overwrites the last frame, in one write.
func (t *top) draw(screen *os.File) error {
	// The size is read for each frame, so that no signal handler for changes is needed.
	width, height, err := term.GetSize(int(screen.Fd()))
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(goHome)
	for i, line := range t.view.lines(width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + eraseLine) // the frame before may have had a longer line
	}
	b.WriteString(eraseBelow)
	_, err = io.WriteString(screen, b.String())
	return err
}

// awaitQuit calls quit on q, Ctrl-C or the end of input.
func awaitQuit(keys io.Reader, quit func()) {
	defer quit()
	b := make([]byte, 1)
	for {
		n, err := keys.Read(b)
		if err != nil || n == 1 && (b[0] == 'q' || b[0] == 'Q' || b[0] == ctrlC) {
			return
		}
	}
}

// asTerminal returns a reader or writer as a file if it is a terminal.
func asTerminal(v any) (*os.File, bool) {
	f, ok := v.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}
