// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A netpollYielder lets the goroutines run that wait for the network. Go's
// scheduler polls the network when no goroutine is runnable, or else every 10 ms.
// With a handshake always runnable, a publisher's request would wait those 10 ms.
//
// The yielder writes to an eventfd and waits, through Go's network poller, until
// it can be read. It becomes runnable after everything that the poller found ready
// before. One goroutine at a time uses it.
type netpollYielder struct {
	raw syscall.RawConn // of the eventfd; nil when there is none
}

// newNetpollYielder returns a yielder. Without a free descriptor it yields by
// Gosched only.
func newNetpollYielder() *netpollYielder {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return new(netpollYielder)
	}
	// A non-blocking os.File is polled by the runtime. Its finalizer closes it.
	raw, err := os.NewFile(uintptr(fd), "netpoll yielder").SyscallConn()
	if err != nil {
		return new(netpollYielder)
	}
	return &netpollYielder{raw}
}

// yield returns after the goroutines that were ready have run.
func (y *netpollYielder) yield() {
	runtime.Gosched()
	if y.raw == nil {
		return
	}
	written := false
	_ = y.raw.Read(func(fd uintptr) (done bool) {
		var count [8]byte
		if written {
			_, _ = unix.Read(int(fd), count[:])
			return true
		}
		// Write inside Read's callback: the runtime has cleared the descriptor's
		// readiness before the first call, so it waits for this write.
		written = true
		count[0] = 1
		_, err := unix.Write(int(fd), count[:])
		return err != nil
	})
}
