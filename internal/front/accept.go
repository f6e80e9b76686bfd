// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"errors"
	"log/slog"
	"syscall"
	"time"

	"gatecast/stats"

	"golang.org/x/sys/unix"
)

// A backoff paces an accept loop whose accepts fail for want of something that
// will come back, descriptors above all.
type backoff struct{ pause time.Duration }

// wait sleeps, longer each time up to a second, and reports whether accepting
// may be tried again.
func (b *backoff) wait(err error, node *stats.Node, logger *slog.Logger) bool {
	errno, ok := passing(err)
	if !ok {
		return false
	}
	node.AcceptErrors.WithLabelValues(unix.ErrnoName(errno)).Inc()
	if b.pause == 0 {
		logger.Error("accepting gateways fails; trying again", "error", err)
	}
	b.pause = min(max(2*b.pause, 5*time.Millisecond), time.Second)
	time.Sleep(b.pause)
	return true
}

func (b *backoff) reset() { b.pause = 0 }

// passing reports whether an error of accept(2) may pass: what the peer did to
// its connection, and what the system is short of.
func passing(err error) (errno syscall.Errno, ok bool) {
	for _, errno = range []syscall.Errno{
		syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPROTO, syscall.EPERM,
	} {
		if errors.Is(err, errno) {
			return errno, true
		}
	}
	return 0, false
}
