// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxIov is how many slices one writev takes: the kernel's IOV_MAX.
const maxIov = 1024

// writev writes the slices of vec, at most the first maxIov of them, with one
// system call. It returns how many bytes the socket took and how many vec has. A
// socket that takes none is no error.
//
// This is the only use of unsafe in gatecast: the kernel wants the addresses of the
// slices, and unix.Writev allocates its array of them on every call. Here the array
// is the loop's. The slices stay reachable through vec until the call returns.
func (l *Loop) writev(fd int, vec [][]byte) (n, all int, err error) {
	iov := l.iov[:0]
	for _, b := range vec {
		all += len(b)
		if len(b) == 0 || len(iov) == maxIov {
			continue
		}
		iov = append(iov, unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))})
	}
	l.iov = iov
	if len(iov) == 0 {
		return 0, all, nil
	}
	n, err = ignoringEINTR(func() (int, error) {
		r, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
		if errno != 0 {
			return 0, errno
		}
		return int(r), nil
	})
	clear(iov) // do not keep frames alive
	if err == unix.EAGAIN {
		return 0, all, nil
	}
	return n, all, err
}
