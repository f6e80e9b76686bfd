// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// JetStream does not miss what is gone from its store: it makes a stream anew whose
// folder is missing, and ends one where its files end. So the log's folder keeps, beside
// the store, how much there was of each stream, and a start compares.

// An extent says what a stream has held at least. Both numbers only grow: a stream
// remembers its highest sequence when the record itself is gone, and a bucket keeps a
// marker for a key that was deleted.
type extent struct {
	Last uint64 `json:"last"`           // the highest sequence
	Keys uint64 `json:"keys,omitempty"` // that a bucket has or had
}

func (e extent) merge(o extent) extent {
	return extent{Last: max(e.Last, o.Last), Keys: max(e.Keys, o.Keys)}
}

const extentsFile = "extents.json"

// durableAfter is the time after which what was noted is surely on the disk.
const durableAfter = time.Minute

// An extents notes what the streams of a store hold. Its file is written in place, and
// not synced: it is for a start after the process died, when the machine still has what
// was written. A nil one notes nothing. Any goroutine may use it.
type extents struct {
	file *os.File // constant

	mu      sync.Mutex
	streams map[string]extent
	changed map[string]bool // since they were last sampled

	// Of whoever samples: what life is to have next, and since when it is known.
	next      map[string]extent
	nextSince time.Time
	saved     map[string]extent // what life has
}

// beginExtents begins to note, from what is known.
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

// readExtents returns what was noted in a folder.
func readExtents(dir string) (known map[string]extent, err error) {
	b, err := os.ReadFile(filepath.Join(dir, extentsFile))
	if err == nil {
		err = json.Unmarshal(b, &known)
	}
	return known, err
}

// knownExtents returns how much each stream of a folder must have, and why what was
// noted last cannot be read, if it should be there. While the machine runs on, it has
// all that the process wrote.
func knownExtents(dir string, l life, boot string) (known map[string]extent, lost error) {
	if l.Closed || !l.Tracked || l.Boot == "" || l.Boot != boot {
		return l.Extents, nil
	}
	noted, err := readExtents(dir)
	known = maps.Clone(noted)
	if known == nil {
		known = make(map[string]extent)
	}
	for stream, e := range l.Extents {
		known[stream] = known[stream].merge(e)
	}
	return known, err
}

// write replaces the file's content, which never gets shorter, by one write of less than
// a page: a process that is killed leaves the old or the new. An error leaves the old,
// which is true too.
func (x *extents) write() { _, _ = x.file.WriteAt(x.encode(), 0) }

func (x *extents) encode() []byte {
	b, err := json.Marshal(x.streams)
	if err != nil {
		panic("BUG: extents do not marshal: " + err.Error())
	}
	return b
}

// note notes that a stream has held so much.
func (x *extents) note(stream string, e extent) {
	if x == nil {
		return
	}
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

// noteStream notes what a stream holds by its description.
func (x *extents) noteStream(info *jetstream.StreamInfo) {
	e := extent{Last: info.State.LastSeq}
	if strings.HasPrefix(info.Config.Name, bucketPrefix) {
		e.Keys = info.State.Msgs // one is kept of each key
	}
	x.note(info.Config.Name, e)
}

// sample notes how many keys the buckets hold that have changed.
func (x *extents) sample(ctx context.Context, js jetstream.JetStream) {
	if x == nil {
		return
	}
	x.mu.Lock()
	changed := x.changed
	x.changed = make(map[string]bool)
	x.mu.Unlock()
	for stream := range changed {
		if !strings.HasPrefix(stream, bucketPrefix) {
			continue
		}
		if s, err := js.Stream(ctx, stream); err == nil {
			x.noteStream(s.CachedInfo())
		}
	}
}

// durable returns what is to be written down for a start after a power cut: what was
// known a while ago; nil when that is written down already. One goroutine calls it.
func (x *extents) durable(now time.Time) map[string]extent {
	if x == nil || now.Sub(x.nextSince) < durableAfter {
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
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.streams)
}

func (x *extents) close() {
	if x != nil {
		_ = x.file.Close()
	}
}
