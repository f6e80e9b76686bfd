// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package bench

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// descriptorLimit returns how many descriptors this process can have open.
func descriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit on descriptors: %w", err)
	}
	return uint64(limit.Cur), nil //nolint:unconvert // it is signed on FreeBSD
}
