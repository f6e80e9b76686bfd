// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"testing"
)

func TestGate(t *testing.T) {
	var g gate
	for range 2 {
		if !g.enter() {
			t.Fatal("enter = false, want true on an open gate")
		}
	}
	g.leave()
	g.close()
	if g.enter() {
		t.Error("enter = true, want false on a closed gate")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("wait = %v with one inside", err)
	}
	done := make(chan error)
	go func() { done <- g.wait(context.Background()) }()
	g.leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
	g.close()
	if err := g.wait(t.Context()); err != nil {
		t.Errorf("wait = %v after the last left", err)
	}
}
