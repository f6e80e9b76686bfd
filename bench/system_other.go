// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package bench

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// A load on a node elsewhere works on every platform. What starts a server here, pins it to
// processors or measures it needs Linux.
var errNotLinux = errors.New("runs on Linux only; measure a node elsewhere with gatecast bench")

// A CPUSet is a set of processors. Here it is always empty.
type CPUSet struct{}

// Count returns 0.
func (*CPUSet) Count() int { return 0 }

// IsSet returns false.
func (*CPUSet) IsSet(int) bool { return false }

// Split returns an error.
func Split() (server, load CPUSet, err error) {
	return server, load, fmt.Errorf("pin processes to processors: %w", errNotLinux)
}

// Pin returns an error.
func Pin(CPUSet) error { return fmt.Errorf("pin processes to processors: %w", errNotLinux) }

func startOn(set CPUSet, _ func() error) error { return Pin(set) }

func childAttributes(bool) *syscall.SysProcAttr { return nil }

func socketBytes(syscall.RawConn) (uint64, error) {
	return 0, fmt.Errorf("count the bytes of a socket: %w", errNotLinux)
}

func kernel() string { return runtime.GOOS }

func processTime(int) (time.Duration, error) {
	return 0, fmt.Errorf("read the processor time of a process: %w", errNotLinux)
}
