// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pauses after Accept failed: doubled from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// A Retrying listener retries when accepting fails for a temporary reason, above all a
// lack of descriptors. Servers such as net/http's would end instead.
type Retrying struct {
	net.Listener
	Name   string             // for logs
	Count  func(errno string) // called with the name of each temporary error, as in EMFILE
	Logger *slog.Logger
}

// Accept implements [net.Listener]. It pauses between attempts. A series of failures is
// logged once.
func (l *Retrying) Accept() (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		c, err := l.Listener.Accept()
		if err == nil {
			return c, nil
		}
		errno, ok := temporary(err)
		if !ok {
			return nil, err
		}
		l.Count(unix.ErrnoName(errno))
		if pause == firstPause {
			l.Logger.Error("cannot accept connections; retrying", "listener", l.Name, "error", err)
		}
		time.Sleep(pause)
	}
}

// temporary reports whether an error of accept(2) is temporary: caused by the peer, or by
// a lack of resources. net.Error.Temporary is deprecated, and misses EPERM of a firewall.
func temporary(err error) (errno syscall.Errno, ok bool) {
	for _, errno = range []syscall.Errno{
		syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPROTO, syscall.EPERM,
	} {
		if errors.Is(err, errno) {
			return errno, true
		}
	}
	return 0, false
}
