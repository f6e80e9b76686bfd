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

type topCmd struct {
	adminFlags
	Interval time.Duration `help:"Time between two updates, at least 100ms." default:"1s" placeholder:"TIME"`
	Once     bool          `help:"Print once and exit, as without a terminal."`
}

const minInterval = 100 * time.Millisecond

// Run shows the stats until it is told to end, or once.
func (c *topCmd) Run(ctx context.Context, w world) error {
	if c.Interval < minInterval {
		return &usageError{fmt.Errorf("--interval: %v is too short; want %v or more", c.Interval, minInterval)}
	}
	t := &top{flags: c.adminFlags}
	if err := t.look(ctx); err != nil {
		return err
	}
	screen, ok := asTerminal(w.out)
	if c.Once || !ok {
		_, err := io.WriteString(w.out, strings.Join(t.view.lines(0, 0), "\n")+"\n")
		return err
	}
	return t.watch(ctx, screen, w.in, c.Interval)
}

// A top asks a node for its stats again and again.
type top struct {
	flags adminFlags
	view  topView
}

// fullEvery is how many looks pass between two that list all connections of a node
// that has more than manyConnections: its loops and its encoder have other work.
const (
	manyConnections = 2000
	fullEvery       = 10
)

// look asks the node. What a look in vain has not brought stays as it was.
func (t *top) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	v := &t.view
	path := "/stats"
	full := len(v.busiest) <= manyConnections || v.looks%fullEvery == 0
	if !full {
		path += "?limit=1"
	}
	var s nodeStats
	if err := t.get(ctx, apiRoot+path, &s); err != nil {
		return err
	}
	v.notReady = ""
	if err := t.get(ctx, "/ready", new(struct{})); err != nil {
		v.notReady = err.Error()
	}
	v.add(&s, full, time.Now())
	return nil
}

func (t *top) get(ctx context.Context, path string, answer any) error {
	in, err := t.flags.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := json.NewDecoder(in).Decode(answer); err != nil {
		return fmt.Errorf("the node's answer is not as expected: %w", err)
	}
	return nil
}

// What a terminal is told: to show another screen, without a cursor, for the time
// being; and to write over what is there.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// watch shows a frame every interval until a key or a signal ends it. A node that
// is out of reach for a while does not.
func (t *top) watch(ctx context.Context, screen *os.File, in io.Reader, interval time.Duration) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if keys, ok := asTerminal(in); ok {
		old, err := term.MakeRaw(int(keys.Fd()))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, term.Restore(int(keys.Fd()), old)) }()
		go awaitQuit(keys, cancel) // until the process ends: a read of a terminal cannot be broken off
	}
	if _, err := io.WriteString(screen, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(screen, leaveScreen) }()
	next := time.NewTicker(interval)
	defer next.Stop()
	for {
		if err := t.draw(screen); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		t.view.trouble = ""
		if err := t.look(ctx); err != nil {
			t.view.trouble, t.view.now = err.Error(), time.Now()
		}
	}
}

// draw writes a frame over the last one, in one write.
func (t *top) draw(screen *os.File) error {
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
		b.WriteString(line + eraseLine)
	}
	b.WriteString(eraseBelow)
	_, err = io.WriteString(screen, b.String())
	return err
}

// awaitQuit calls quit on q, Ctrl-C, or the end of the keys.
func awaitQuit(keys io.Reader, quit func()) {
	defer quit()
	b := make([]byte, 1)
	for {
		n, err := keys.Read(b)
		if err != nil || n == 1 && (b[0] == 'q' || b[0] == 'Q' || b[0] == 3) {
			return
		}
	}
}

// asTerminal returns the file behind a reader or writer, if it is a terminal.
func asTerminal(v any) (*os.File, bool) {
	f, ok := v.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}
