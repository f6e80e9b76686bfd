// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reservedDescriptors is what a node needs besides its connections: handshakes and HTTP
// requests in progress, the log's files, the loops.
const reservedDescriptors = 1500

// RaiseDescriptorLimit raises the process's soft limit of descriptors to the hard one and
// returns it.
func RaiseDescriptorLimit() (limit uint64, err error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("read the limit on descriptors: %w", err)
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return 0, fmt.Errorf("raise the limit on descriptors to %d: %w", l.Max, err)
		}
	}
	return l.Cur, nil
}

// CheckDescriptors returns an error if so many connections do not fit into a limit of
// descriptors.
func CheckDescriptors(connections int, limit uint64) error {
	reserved := min(uint64(reservedDescriptors), limit/8)
	if uint64(connections) > limit-reserved {
		return fmt.Errorf(
			"%d connections do not fit under this process's hard limit of %d descriptors, of which %d are kept for other use; raise it (ulimit -Hn, LimitNOFILE=) or ask for at most %d",
			connections, limit, reserved, limit-reserved)
	}
	return nil
}
