// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"fmt"
	"log/slog"
	"time"
)

// A Config says what a log keeps.
type Config struct {
	// Retention is how long an event is kept; zero means no limit. Less than 100 ms is
	// refused.
	Retention time.Duration
	// RetentionBytes is the size of the log beyond which the oldest events are removed;
	// zero means no limit. It includes subjects, headers and some 30 bytes per event.
	RetentionBytes int64
	// Node names this node to the other nodes of a shared log.
	Node string
	// OnSkipped is called for every message that gatecast did not write and that a tail or
	// a journal's follower skips, once per message. It must not block. Nil: it is not called.
	OnSkipped func(Source)
	// Logger receives warnings and errors; nil means slog.Default().
	Logger *slog.Logger
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.OnSkipped == nil {
		c.OnSkipped = func(Source) {}
	}
}

func (c *Config) validate() error {
	switch {
	case c.Retention < 0 || c.Retention > 0 && c.Retention < 100*time.Millisecond:
		return fmt.Errorf("event log: retention %v is too short; want 100ms or more, or 0 for no limit", c.Retention)
	case c.RetentionBytes < 0:
		return fmt.Errorf("event log: retention of %d bytes is negative; want 0 for no limit", c.RetentionBytes)
	}
	return nil
}
