// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "time"

// clockBase is time 0 of stamps. Publisher and receivers are in one process, so the monotonic time
// since then is the same for both.
var clockBase = time.Now()

// now returns the time since clockBase.
func now() time.Duration { return time.Since(clockBase) }
