// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A life is what a folder remembers of the processes that have kept their log in it.
//
// When the machine goes down, and not just the process, a log that is not synced
// at every append may have lost its newest events, and gives their places to
// others. So that no position is taken for another event's, the log gets a new
// epoch then: another generation.
type life struct {
	Generation uint64 `json:"generation"`
	Boot       string `json:"boot"`   // of the machine, when the log was opened
	Closed     bool   `json:"closed"` // in order
	Synced     bool   `json:"synced"` // at every append
}

const lifeFile = "life.json"

// bootID returns a word for this run of the kernel; without one every start counts
// as the machine's.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// beginLife returns the life that begins in a folder, which it has written down.
func beginLife(dir, boot string, synced bool) (life, error) {
	var l life
	b, err := os.ReadFile(filepath.Join(dir, lifeFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.Closed = true // nothing is lost of what was not there
	case err != nil:
		return l, fmt.Errorf("event log: %w; restore the file from a backup, or change its owner", err)
	default:
		if err := json.Unmarshal(b, &l); err != nil {
			return l, fmt.Errorf("event log: %s cannot be read: %w; restore it from a backup, or move the folder away to begin anew", filepath.Join(dir, lifeFile), err)
		}
	}
	if !l.Closed && !l.Synced && (l.Boot == "" || l.Boot != boot) {
		l.Generation++
	}
	l.Boot, l.Closed, l.Synced = boot, false, synced
	return l, l.save(dir)
}

// end writes down that the log was closed in order, once all of it is on the disk
// of the open file: JetStream leaves that to the operating system when it stops.
func (l life) end(dir string, open *os.File) error {
	if err := unix.Syncfs(int(open.Fd())); err != nil {
		return fmt.Errorf("event log: sync %s: %w", dir, err)
	}
	l.Closed = true
	return l.save(dir)
}

// save replaces the file, and returns when it is on disk.
func (l life) save(dir string) error {
	b, err := json.Marshal(l)
	if err != nil {
		panic("BUG: a life does not marshal: " + err.Error())
	}
	name := filepath.Join(dir, lifeFile)
	if err := writeSynced(name+".new", b); err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil { // or the old file could come back
		return fmt.Errorf("event log: %w", err)
	}
	return nil
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
