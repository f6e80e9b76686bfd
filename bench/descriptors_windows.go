// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "math"

// descriptorLimit returns no limit: Windows limits sockets by memory only.
func descriptorLimit() (uint64, error) { return math.MaxInt64, nil }
