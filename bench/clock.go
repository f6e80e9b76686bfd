// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "time"

// The zero of stamps. Publisher and receivers are in one process, so monotonic
// time since then means the same to both.
var clockBase = time.Now()

// now returns the time since clockBase.
func now() time.Duration { return time.Since(clockBase) }
