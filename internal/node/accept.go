// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatecast/gatecast/stats/metrics"
)

// A patientListener waits where accepting fails for want of something that will
// come back, descriptors above all. Its servers would end instead, and the node
// with them.
type patientListener struct {
	net.Listener
	name   string // as in the metric
	counts *metrics.Node
	logger *slog.Logger
}

// Accept implements [net.Listener]. It waits longer each time, up to a second.
func (l *patientListener) Accept() (net.Conn, error) {
	const shortest = 5 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			return c, nil
		}
		errno, ok := passing(err)
		if !ok {
			return nil, err
		}
		l.counts.AcceptErrors.WithLabelValues(l.name, unix.ErrnoName(errno)).Inc()
		if pause == shortest {
			l.logger.Error("accepting fails; trying again", "listener", l.name, "error", err)
		}
		time.Sleep(pause)
	}
}

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
