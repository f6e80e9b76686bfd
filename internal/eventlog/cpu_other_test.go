// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package eventlog

import (
	"testing"
	"time"
)

// cpuTime returns zero: it is only measured on Unix.
func cpuTime(*testing.B) time.Duration { return 0 }
