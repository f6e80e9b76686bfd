// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"testing"
	"time"
)

// awaitTimeout is much longer than any condition takes on a busy machine.
const awaitTimeout = time.Minute

// Await waits until a condition holds, and fails the test with what if it does not.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(awaitTimeout); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
