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
	// Files are the sizes of the store's files when it was closed. What is missing
	// or cut short is found by them.
	Files map[string]int64 `json:"files,omitempty"`
	// Tracked says that extents.json notes what the streams hold while the log is open;
	// Extents is what of that was surely on the disk some time ago.
	Tracked bool              `json:"tracked,omitempty"`
	Extents map[string]extent `json:"extents,omitempty"`
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

// readLife returns what a folder remembers.
func readLife(dir string) (l life, err error) {
	name := filepath.Join(dir, lifeFile)
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		streams, err := streamsIn(dir)
		if err == nil && len(streams) > 0 {
			err = fmt.Errorf("event log: %s is missing; start once with --repair, or restore it from a backup", name)
		}
		return life{Closed: true}, err // nothing is lost of what was not there
	case isFolder(name):
		return l, fmt.Errorf("event log: %s is a folder; start once with --repair, or restore it from a backup", name)
	case err != nil:
		return l, fmt.Errorf("event log: %w; %s", err, remedy(err))
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return life{}, fmt.Errorf("event log: %s cannot be read: %w; start once with --repair, or restore it from a backup", name, err)
	}
	return l, nil
}

// beginLife returns the life that begins in a folder, which it has written down.
func beginLife(dir, boot string, synced bool) (life, error) {
	l, err := readLife(dir)
	if err != nil {
		return l, err
	}
	if !l.Closed && !l.Synced && (l.Boot == "" || l.Boot != boot) {
		l.Generation++
	}
	l.Boot, l.Closed, l.Synced, l.Files, l.Tracked = boot, false, synced, nil, true
	return l, l.save(dir)
}

// end writes down that the log was closed in order, once all of it is on the disk
// of the open file: JetStream leaves that to the operating system when it stops.
func (l life) end(dir string, open *os.File) error {
	if err := unix.Syncfs(int(open.Fd())); err != nil {
		return fmt.Errorf("event log: sync %s: %w", dir, err)
	}
	files, err := filesOf(streamsDir(dir))
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	l.Closed, l.Files = true, files
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
		return fmt.Errorf("event log: cannot write in its folder: %w; %s", err, remedy(err))
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
