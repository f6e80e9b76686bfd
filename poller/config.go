// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import "time"

// Config is what a loop calls. Every field must be set.
type Config struct {
	// Turn does the pending work. It runs at least once after each call of
	// [Loop.Ring]. If it returns true it runs again, after the loop has serviced
	// the descriptors that are ready.
	Turn func(now time.Time) (again bool)
	// Tick runs about every TickEvery.
	Tick      func(now time.Time)
	TickEvery time.Duration
}
