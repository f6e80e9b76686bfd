// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// dupDescriptor returns a duplicate of a connection's descriptor. The Go runtime
// does not poll the duplicate; the caller closes it.
func dupDescriptor(raw syscall.RawConn) (fd int, err error) {
	var dupErr error
	err = raw.Control(func(own uintptr) {
		fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, dupErr); err != nil {
		return -1, err
	}
	return fd, nil
}

// writeDescriptor writes once, without waiting. It ignores what the socket does
// not take.
func writeDescriptor(fd int, b []byte) { _, _ = unix.Write(fd, b) }

func closeDescriptor(fd int) error { return unix.Close(fd) }

// ignoringEINTR calls f again while a signal interrupts it.
func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}
