// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// A CPUSet is a set of processors.
type CPUSet = unix.CPUSet

// Split divides the processors this process may use: the last is for the server,
// the others are for the load.
func Split() (server, load CPUSet, err error) {
	if err := unix.SchedGetaffinity(0, &load); err != nil {
		return server, load, fmt.Errorf("read which processors may be used: %w", err)
	}
	if load.Count() < 2 {
		return server, load, errors.New("a processor for the server and one for the load need two; run without pinning")
	}
	for cpu := len(load)*64 - 1; server.Count() == 0; cpu-- {
		if load.IsSet(cpu) {
			server.Set(cpu)
			load.Clear(cpu)
		}
	}
	return server, load, nil
}

// Pin keeps this process on some processors, with as many of Go's. It is for the
// life of the process: nothing undoes it.
func Pin(set CPUSet) error {
	runtime.GOMAXPROCS(set.Count())
	// A thread made meanwhile has its maker's processors, so once a round meets
	// no thread that was not pinned before, all are.
	pinned := make(map[int]bool)
	for more := true; more; {
		tasks, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			return err
		}
		more = false
		for _, task := range tasks {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err != nil || pinned[tid] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin thread %d: %w", tid, err)
			}
			pinned[tid], more = true, true
		}
	}
	return nil
}

// startOn calls start, which starts a process, so that the process is on the
// processors of set from its first instruction: it has those of the thread that
// makes it.
func startOn(set CPUSet, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var own CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return fmt.Errorf("read which processors may be used: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin the server: %w", err)
	}
	err := start()
	if restore := unix.SchedSetaffinity(0, &own); restore != nil {
		fmt.Fprintln(os.Stderr, "bench: a thread stays on the server's processor:", restore)
	}
	return err
}
