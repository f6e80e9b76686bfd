// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"fmt"

	"golang.org/x/sys/unix"
)

// reservedDescriptors is what a node needs besides its connections: handshakes
// and HTTP under way, the log's files, the loops.
const reservedDescriptors = 1500

// raiseDescriptorLimit raises the process's soft limit on descriptors to the
// hard one, and reports an error when maxConnections would not fit below it.
func raiseDescriptorLimit(maxConnections int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit on descriptors: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("raise the limit on descriptors to %d: %w", limit.Max, err)
		}
	}
	return checkDescriptors(maxConnections, limit.Cur)
}

func checkDescriptors(maxConnections int, limit uint64) error {
	reserved := min(uint64(reservedDescriptors), limit/8)
	if uint64(maxConnections) > limit-reserved {
		return settings.NewError("max-connections", fmt.Sprintf(
			"%d connections do not fit under this process's hard limit of %d descriptors, of which %d are kept for other use; raise it (ulimit -Hn, LimitNOFILE=) or ask for at most %d",
			maxConnections, limit, reserved, limit-reserved))
	}
	return nil
}
