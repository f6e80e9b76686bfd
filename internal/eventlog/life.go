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
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A life is what a folder remembers of the processes that have kept their log in it.
type life struct {
	// Generation is what versions before markers counted up when the end of the log may
	// have been lost. It is kept, as ids of theirs contain it.
	Generation uint64 `json:"generation"`
	// Repaired says that something was taken out of the store, markers perhaps, and that
	// it has not been closed in order since.
	Repaired bool `json:"repaired,omitempty"`
	// Markers are the newest marker of each stream. One that is gone, though what comes
	// after it is there, was lost from the middle.
	Markers map[string]lifeMarker `json:"markers,omitempty"`

	// EndLost says that the machine went down with what was not on disk yet, and that no
	// epoch has begun since.
	EndLost bool `json:"endLost,omitempty"`

	Boot   string `json:"boot"`   // of the machine, when the log was opened
	Closed bool   `json:"closed"` // in order
	Synced bool   `json:"synced"` // at every append
	// Files are the sizes of the store's files when it was closed. What is missing
	// or cut short is found by them.
	Files map[string]int64 `json:"files,omitempty"`
	// Tracked says that extents.json notes what the streams hold while the log is open;
	// Extents is what of that was surely on the disk some time ago.
	Tracked bool              `json:"tracked,omitempty"`
	Extents map[string]extent `json:"extents,omitempty"`
}

// A lifeMarker is the epoch of a marker, and where it stands.
type lifeMarker struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
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
	l.EndLost = l.EndLost || !l.Closed && !l.Synced && (l.Boot == "" || l.Boot != boot)
	l.Boot, l.Closed, l.Synced, l.Files, l.Tracked = boot, false, synced, nil, true
	return l, l.save(dir)
}

// trusts reports whether the lineage found in a stream names everything up to its last
// sequence: whether no marker was lost from the middle.
func (l *life) trusts(stream string, found *Lineage, last uint64) bool {
	m, known := l.Markers[stream]
	epoch, err := strconv.ParseUint(m.Epoch, 36, 64)
	return !l.Repaired && (!known || last < m.Seq || err == nil && found.find(epoch) >= 0)
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
	l.Closed, l.Repaired, l.Files = true, false, files
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
