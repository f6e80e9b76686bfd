// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"
)

const (
	// progressAfter is how long work takes before its progress is shown.
	progressAfter = time.Second
	// progressEvery is the time between two changes of what is shown.
	progressEvery = 200 * time.Millisecond
)

// A progress shows how far long work is, in one line of a terminal. On anything else it
// shows nothing. It belongs to one goroutine.
type progress struct {
	out   io.Writer // nil: not a terminal
	shown bool      // the line is on the terminal
	next  time.Time // when it may change
}

// newProgress returns the progress of work that begins now.
func newProgress(w world) *progress {
	p := &progress{next: time.Now().Add(progressAfter)}
	if terminal, ok := asTerminal(w.err); ok {
		p.out = terminal
	}
	return p
}

// show replaces the line, unless it was changed a moment ago.
func (p *progress) show(format string, args ...any) {
	if p.out == nil || time.Now().Before(p.next) {
		return
	}
	p.next, p.shown = time.Now().Add(progressEvery), true
	_, _ = fmt.Fprintf(p.out, "\r\x1b[K"+format, args...) // a terminal that is gone shows nothing
}

// clear removes the line, before other output and at the end.
func (p *progress) clear() {
	if p.shown {
		p.shown = false
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}
