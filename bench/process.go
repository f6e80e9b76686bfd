// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A Process is the id of a running process.
type Process int

// CPU returns the processor time that the process and all its threads have used, user and
// system, including threads that have ended.
func (p Process) CPU() (time.Duration, error) { return processTime(int(p)) }

// Memory is what a process has in physical memory, in bytes.
type Memory struct {
	RSS  int64 // now
	Peak int64 // the most so far, or since ResetPeak
}

// Memory reads VmRSS and VmHWM.
func (p Process) Memory() (m Memory, err error) {
	status, err := os.ReadFile(p.path("status"))
	if err != nil {
		return Memory{}, err
	}
	if m.RSS, err = kilobytes(status, "VmRSS:"); err != nil {
		return Memory{}, err
	}
	m.Peak, err = kilobytes(status, "VmHWM:")
	return m, err
}

// kilobytes returns a field of /proc/PID/status, in bytes.
func kilobytes(status []byte, field string) (int64, error) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(field)); ok {
			kb, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/PID/status has no %s", field)
}

// ResetPeak sets the peak to the current memory.
func (p Process) ResetPeak() error {
	const resetHighWater = "5" // see proc(5), clear_refs
	return os.WriteFile(p.path("clear_refs"), []byte(resetHighWater), 0)
}

// Threads returns how many threads the process has.
func (p Process) Threads() (int, error) { return p.count("task") }

// Descriptors returns how many descriptors the process has open.
func (p Process) Descriptors() (int, error) { return p.count("fd") }

// count returns how many entries a folder has.
func (p Process) count(folder string) (int, error) {
	f, err := os.Open(p.path(folder))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	names, err := f.Readdirnames(-1) // not os.ReadDir, which sorts 10,000 of them
	return len(names), err
}

func (p Process) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(int(p)), name)
}
