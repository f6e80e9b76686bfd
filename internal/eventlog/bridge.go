// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
)

// A bridge is the server's logger. It passes warnings and worse on, and keeps
// the last of them, which often is the only word about why something failed.
type bridge struct {
	to        *slog.Logger
	complaint atomic.Pointer[string]
}

func newBridge(to *slog.Logger) *bridge { return &bridge{to: to.With("from", "nats")} }

func (b *bridge) last() string {
	if s := b.complaint.Load(); s != nil {
		return *s
	}
	return ""
}

func (b *bridge) complain(level func(string, ...any), format string, args []any) {
	s := strings.TrimSpace(fmt.Sprintf(format, args...))
	b.complaint.Store(&s)
	level("event log: " + s)
}

func (b *bridge) Warnf(format string, args ...any)  { b.complain(b.to.Warn, format, args) }
func (b *bridge) Errorf(format string, args ...any) { b.complain(b.to.Error, format, args) }

// Fatalf does not exit: the server then stays unready, and Open says so.
func (b *bridge) Fatalf(format string, args ...any) { b.complain(b.to.Error, format, args) }

func (b *bridge) Noticef(string, ...any) {}
func (b *bridge) Debugf(string, ...any)  {}
func (b *bridge) Tracef(string, ...any)  {}
