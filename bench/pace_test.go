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
		t.Errorf("an action that was due: %v, %v; want its due time %v", at, err, start)
	}
	due := start + p.every
	if at, err := p.next(t.Context()); err != nil || at < due || now() < at {
		t.Errorf("an action that is not due: %v, %v; want %v or later, but not in the future", at, err, due)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
