// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	start := now() - 10*time.Hour
	p := newPace(start, 10*time.Hour+20*time.Millisecond)
	defer p.stop()
	if at, err := p.next(t.Context()); err != nil || at != start {
		t.Errorf("a turn long past: %v, %v; want %v, when it should have been", at, err, start)
	}
	due := start + p.every
	if at, err := p.next(t.Context()); err != nil || at < due || now() < at {
		t.Errorf("a turn to come: %v, %v; want %v or later, and not yet to come", at, err, due)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}
