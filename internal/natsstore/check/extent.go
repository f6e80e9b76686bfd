// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// An extent is a lower bound of what a stream has held. Both numbers only grow: a stream
// keeps its highest sequence when the record itself is removed, and a bucket keeps a marker
// of a deleted key.
type extent struct {
	Last uint64 `json:"last"`           // the highest sequence
	Keys uint64 `json:"keys,omitempty"` // of a bucket, deleted keys included
}

// merge returns the larger of two lower bounds.
func (e extent) merge(o extent) extent {
	return extent{Last: max(e.Last, o.Last), Keys: max(e.Keys, o.Keys)}
}

const extentsFile = "extents.json"

// durableAfter is how long it takes at most until what was noted is on disk.
const durableAfter = time.Minute

// An extents records the extent of each stream in a store, in the file extents.json. The
// file is written in place and not synced: it is read after the process was killed, when the
// operating system still has everything that was written. It is safe for concurrent use.
type extents struct {
	file *os.File // constant

	mu      sync.Mutex
	streams map[string]extent
	changed map[string]bool // since takeChanged

	// Owned by the caller of durable: what the store marker gets next, since when that is
	// known, and what the store marker has now.
	next      map[string]extent
	nextSince time.Time
	saved     map[string]extent
}

// beginExtents begins a file with the extents that are known.
func beginExtents(dir string, known map[string]extent) (*extents, error) {
	x := &extents{streams: make(map[string]extent), changed: make(map[string]bool), saved: known}
	maps.Copy(x.streams, known)
	name := filepath.Join(dir, extentsFile)
	err := os.WriteFile(name+".new", x.encode(), 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err == nil {
		x.file, err = os.OpenFile(name, os.O_WRONLY, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("event log: cannot write in its folder: %w; %s", err, remedy(err))
	}
	return x, nil
}

// readExtents reads the file in a folder.
func readExtents(dir string) (known map[string]extent, err error) {
	b, err := os.ReadFile(filepath.Join(dir, extentsFile))
	if err == nil {
		err = json.Unmarshal(b, &known)
	}
	return known, err
}

// knownExtents returns what each stream of a folder must have. Lost says why extents.json
// cannot be read, if it must be readable: while the machine has not stopped, it has everything
// that the last process wrote.
func knownExtents(dir string, m storeMarker, boot string) (known map[string]extent, lost error) {
	if m.Closed || !m.Tracked || m.Boot == "" || m.Boot != boot {
		return m.Extents, nil
	}
	noted, err := readExtents(dir)
	known = maps.Clone(noted)
	if known == nil {
		known = make(map[string]extent)
	}
	for stream, e := range m.Extents {
		known[stream] = known[stream].merge(e)
	}
	return known, err
}

// write replaces the content of the file, which never gets shorter, by one write of less
// than a page: a killed process leaves the old or the new content. After an error the old
// content is there, which is also a lower bound. Mu is held.
func (x *extents) write() { _, _ = x.file.WriteAt(x.encode(), 0) }

func (x *extents) encode() []byte {
	b, err := json.Marshal(x.streams)
	if err != nil {
		panic("BUG: extents do not marshal: " + err.Error())
	}
	return b
}

// note records that a stream has held at least e.
func (x *extents) note(stream string, e extent) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, known := x.streams[stream]
	if e = e.merge(old); known && e == old {
		return
	}
	x.streams[stream] = e
	x.changed[stream] = true
	x.write()
}

// takeChanged returns the streams that have changed since the last call.
func (x *extents) takeChanged() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	changed := slices.Collect(maps.Keys(x.changed))
	clear(x.changed)
	return changed
}

// durable returns what to write into the store marker for a start after a power cut: what
// was known durableAfter ago. It is nil when the store marker has that already.
func (x *extents) durable(now time.Time) map[string]extent {
	if now.Sub(x.nextSince) < durableAfter {
		return nil
	}
	due := x.next
	x.next, x.nextSince = x.all(), now
	if due == nil || maps.Equal(due, x.saved) {
		return nil
	}
	x.saved = due
	return due
}

func (x *extents) all() map[string]extent {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.streams)
}

// close closes the file. X can be nil, when opening failed.
func (x *extents) close() {
	if x != nil {
		_ = x.file.Close()
	}
}
