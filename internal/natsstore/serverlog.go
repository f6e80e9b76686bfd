// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
)

// A serverLog is the logger of the embedded server. It passes warnings and errors on, and
// keeps the last one: often only that says why something failed.
type serverLog struct {
	to   *slog.Logger
	last atomic.Pointer[string]
}

func newServerLog(to *slog.Logger) *serverLog { return &serverLog{to: to.With("from", "nats")} }

// lastLine returns the last warning or error, or "".
func (l *serverLog) lastLine() string {
	if s := l.last.Load(); s != nil {
		return *s
	}
	return ""
}

func (l *serverLog) write(level func(string, ...any), format string, args []any) {
	s := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.last.Store(&s)
	level("event log: " + s)
}

func (l *serverLog) Warnf(format string, args ...any)  { l.write(l.to.Warn, format, args) }
func (l *serverLog) Errorf(format string, args ...any) { l.write(l.to.Error, format, args) }

// Fatalf does not exit: the server is then not ready, and Open returns an error.
func (l *serverLog) Fatalf(format string, args ...any) { l.write(l.to.Error, format, args) }

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}
