// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"testing"
	"time"
)

// eventuallyTimeout is much longer than any condition takes, also on a busy machine.
const eventuallyTimeout = time.Minute

// Eventually waits until a condition holds, and fails the test after a minute. what describes the
// condition as a sentence.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(eventuallyTimeout); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting: %s", what)
		}
	}
}
