// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package poller

import (
	"errors"
	"fmt"
	"syscall"
)

// errNotLinux is returned by everything that needs epoll.
var errNotLinux = fmt.Errorf("gatecast serves on Linux only (epoll): %w", errors.ErrUnsupported)

// A Loop cannot be made on this system: [Start] returns an error.
type Loop struct{}

// Start returns an error that wraps [errors.ErrUnsupported].
func Start(Config) (*Loop, error) { return nil, errNotLinux }

// Ring does nothing.
func (l *Loop) Ring() {}

// Close does nothing.
func (l *Loop) Close() {}

// Open closes the connection and returns an error that wraps
// [errors.ErrUnsupported].
func (l *Loop) Open(c *Conn, _ Sink) (Stream, error) {
	_ = c.Close()
	return nil, errNotLinux
}

// No descriptor is ever duplicated here, so none is written to or closed.

func dupDescriptor(syscall.RawConn) (fd int, err error) { return -1, errNotLinux }
func writeDescriptor(int, []byte)                       {}
func closeDescriptor(int) error                         { return errNotLinux }
