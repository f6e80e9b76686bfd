// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A storeMarker is the file life.json in the log's folder: what one process leaves there for
// the next. The names in the JSON are those of earlier versions and cannot change.
type storeMarker struct {
	// Generation is a counter of versions before epoch markers. Their event ids contain it,
	// so it is kept.
	Generation uint64 `json:"generation"`
	// Repaired says that records were removed from the store, perhaps epoch markers, and
	// that no process has closed it in order since.
	Repaired bool `json:"repaired,omitempty"`
	// Epochs has the newest epoch marker of each stream. If it is missing and later
	// messages are there, records from the middle of the stream are lost.
	Epochs map[string]epochMarker `json:"markers,omitempty"`
	// EndLost says that the machine stopped before everything was on disk, and that no
	// epoch has begun since.
	EndLost bool `json:"endLost,omitempty"`

	Boot   string `json:"boot"`   // boot id of the machine when the log was opened
	Closed bool   `json:"closed"` // the last process closed the log in order
	Synced bool   `json:"synced"` // every append was synced
	// Files has the size in bytes of each file of the store when it was closed, so that a
	// missing or shortened file is noticed.
	Files map[string]int64 `json:"files,omitempty"`
	// Tracked says that extents.json is updated while the log is open. Extents is an
	// earlier state of it that has been on disk for a while.
	Tracked bool              `json:"tracked,omitempty"`
	Extents map[string]extent `json:"extents,omitempty"`
}

// An epochMarker is an epoch and the sequence of the message that began it.
type epochMarker struct {
	Epoch string `json:"epoch"` // in base 36, as in event ids
	Seq   uint64 `json:"seq"`
}

const markerFile = "life.json"

// bootID returns the id of this boot of the machine. It is empty where the system has none
// (only Linux has one): then every start counts as the first after a power cut.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// readMarker reads a folder's store marker.
func readMarker(dir string) (m storeMarker, err error) {
	name := filepath.Join(dir, markerFile)
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		streams, err := streamsIn(dir)
		if err == nil && len(streams) > 0 {
			err = fmt.Errorf("event log: %s is missing; start once with --repair, or restore it from a backup", name)
		}
		return storeMarker{Closed: true}, err // an empty folder has lost nothing
	case isFolder(name):
		return m, fmt.Errorf("event log: %s is a folder; start once with --repair, or restore it from a backup", name)
	case err != nil:
		return m, fmt.Errorf("event log: %w; %s", err, remedy(err))
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return storeMarker{}, fmt.Errorf("event log: %s cannot be read: %w; start once with --repair, or restore it from a backup", name, err)
	}
	return m, nil
}

// beginMarker writes the store marker of a process that opens the folder, and returns it.
func beginMarker(dir, boot string, synced bool) (storeMarker, error) {
	m, err := readMarker(dir)
	if err != nil {
		return m, err
	}
	m.EndLost = m.EndLost || !m.Closed && !m.Synced && (m.Boot == "" || m.Boot != boot)
	m.Boot, m.Closed, m.Synced, m.Files, m.Tracked = boot, false, synced, nil, true
	return m, m.save(dir)
}

// epoch returns the newest epoch marker of a stream that is known; zero when none is.
func (m *storeMarker) epoch(stream string) (epoch, seq uint64) {
	e := m.Epochs[stream]
	epoch, err := strconv.ParseUint(e.Epoch, 36, 64)
	if err != nil {
		epoch = 0 // and is no epoch of any stream
	}
	return epoch, e.Seq
}

// end records that the log was closed in order. First it syncs the file system of lock, an
// open file in the folder: JetStream does not sync its files when it stops.
func (m storeMarker) end(dir string, lock *os.File) error {
	if err := syncFolder(dir, lock); err != nil {
		return fmt.Errorf("event log: sync %s: %w", dir, err)
	}
	files, err := filesOf(StreamsDir(dir))
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	m.Closed, m.Repaired, m.Files = true, false, files
	return m.save(dir)
}

// save replaces the file. When it returns, the new file is on disk.
func (m storeMarker) save(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		panic("BUG: a store marker does not marshal: " + err.Error())
	}
	name := filepath.Join(dir, markerFile)
	if err := writeSynced(name+".new", b); err != nil {
		return fmt.Errorf("event log: cannot write in its folder: %w; %s", err, remedy(err))
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	if err := syncDir(dir); err != nil { // or a power cut could bring the old file back
		return fmt.Errorf("event log: %w", err)
	}
	return nil
}

// writeSynced writes a file and returns when its content is on disk. Its name can be lost until
// syncDir returns.
func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
