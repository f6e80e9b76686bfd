// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"unsafe"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// A Floor is the minimum work of a server that writes one event at a time: a slice of descriptors,
// and one send(2) of a prepared frame for each. It makes the system call without Go's scheduler. It
// reads nothing and sends no pings, so it notices a closed connection only when a send fails.
//
// It has no TLS: the minimum with TLS would be that of crypto/tls.
type Floor struct {
	mu        sync.Mutex
	all       []int            // descriptors of all connections
	byGateway map[string][]int // descriptors by gateway id
}

// Serve implements [hub.Library].
func (f *Floor) Serve(ln net.Listener, cfg *tls.Config, h *hub.Hub) error {
	if cfg != nil {
		return errors.New("floor has no TLS: start it with --plaintext")
	}
	f.byGateway = make(map[string][]int)
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := f.take(nc, h); err != nil {
				slog.Error("upgrade", "err", err)
			}
		}()
	}
}

// take upgrades a connection and keeps its descriptor outside of Go's poller.
func (f *Floor) take(nc net.Conn, h *hub.Hub) error {
	defer nc.Close()
	id, err := upgrade(nc, h)
	if err != nil {
		return err
	}
	fd, err := duplicate(nc.(*net.TCPConn))
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.all = append(f.all, fd)
	f.byGateway[id] = append(f.byGateway[id], fd)
	f.mu.Unlock()
	return send(fd, ws.MustCompileFrame(ws.NewTextFrame(h.Ack(id))))
}

func duplicate(tcp *net.TCPConn) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	if controlled := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); controlled != nil {
		return 0, controlled
	}
	return fd, err
}

// Send implements [hub.Library].
func (f *Floor) Send(gatewayID string, message []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sendAll(f.byGateway[gatewayID], message)
}

// SendAll implements [hub.Library].
func (f *Floor) SendAll(message []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sendAll(f.all, message)
}

// sendAll sends a message to each descriptor. It ignores errors: a load that lost a connection has
// failed already.
func sendAll(fds []int, message []byte) {
	frame := ws.MustCompileFrame(ws.NewTextFrame(message))
	for _, fd := range fds {
		_ = send(fd, frame)
	}
}

// send sends a complete frame. It waits for a full socket.
func send(fd int, frame []byte) error {
	for len(frame) > 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(frame))), uintptr(len(frame)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			frame = frame[n:]
		case unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(writeTimeout.Milliseconds())); err != nil && err != unix.EINTR {
				return err
			}
		case unix.EINTR:
		default:
			return errno
		}
	}
	return nil
}
