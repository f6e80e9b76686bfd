// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// A Config says which folder to open, and how.
type Config struct {
	Dir string
	// Sentinel names a file outside Dir that is written when there is a log in Dir. When it
	// exists and Dir is empty, the log is lost, which is an error. Empty: no such file.
	Sentinel string
	// SyncAlways says that every append will be synced.
	SyncAlways bool
	// Repair allows Open to move damaged files aside and to keep the rest.
	Repair bool
	Logger *slog.Logger
}

// A Folder is the folder of a log, locked against other processes and checked. A nil Folder
// is that of a log in memory or in a cluster: its methods do nothing. A Folder is safe for
// concurrent use, except for Close, which is the last call.
type Folder struct {
	// Constant after Open.
	dir     string
	lock    *os.File // locks the folder while it is open
	extents *extents
	streams []string

	mu     sync.Mutex
	marker storeMarker // guarded by mu
}

// Open makes the folder if there is none, locks it, and checks that the store in it is
// whole. The errors are one line that names the damage and what to do about it.
func Open(cfg Config) (*Folder, error) {
	if err := checkSentinel(cfg); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("event log: cannot make its folder: %w; %s", err, remedy(err))
	}
	if err := os.Chmod(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("event log: cannot keep its folder private: %w; %s", err, remedy(err))
	}
	f := &Folder{dir: cfg.Dir}
	var err error
	if f.lock, err = lockFile(filepath.Join(cfg.Dir, "lock")); err != nil {
		return nil, err
	}
	if err := f.begin(cfg); err != nil {
		f.extents.close()
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

// begin checks the store, and begins the records of this process. The order matters: the extents
// and the store marker of the last process are read before they are replaced.
func (f *Folder) begin(cfg Config) (err error) {
	boot := bootID()
	if err := checkStore(cfg, boot); err != nil {
		return err
	}
	if f.streams, err = streamsIn(f.dir); err != nil {
		return err
	}
	m, err := readMarker(f.dir)
	if err != nil {
		return err
	}
	known, _ := knownExtents(f.dir, m, boot)
	if f.extents, err = beginExtents(f.dir, known); err != nil {
		return err
	}
	if f.marker, err = beginMarker(f.dir, boot, cfg.SyncAlways); err != nil {
		return err
	}
	return writeSentinel(cfg) // last: only now there is something to lose
}

var errLocked = errors.New("locked by another process")

// lockFile opens a file and locks it. The lock ends with the process, also after kill -9.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("event log: cannot write in its folder: %w; %s", err, remedy(err))
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("event log: %s is in use by another process; stop it, or choose another folder", filepath.Dir(path))
		}
		return nil, fmt.Errorf("event log: lock %s: %w", path, err)
	}
	return f, nil
}

// remedy says what to do when a folder cannot be used, to end an error with.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "mount it writable, or choose another"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space, or choose another"
	}
	return "choose another, or change its owner"
}

// StreamsDir returns the folder of the streams in a log's folder.
func StreamsDir(dir string) string {
	return filepath.Join(dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams")
}

// streamsIn returns the names of the streams that are stored in a log's folder.
func streamsIn(dir string) ([]string, error) {
	found, err := os.ReadDir(StreamsDir(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("event log: cannot read its folder: %w; %s", err, remedy(err))
	}
	var names []string
	for _, f := range found {
		if f.IsDir() && !strings.HasPrefix(f.Name(), ".") {
			names = append(names, f.Name())
		}
	}
	return names, nil
}

// Streams returns the names of the streams that were in the folder when it was opened. The
// server must have all of them when it has started.
func (f *Folder) Streams() []string {
	if f == nil {
		return nil
	}
	return f.streams
}

// Recovery returns what is known of a stream from before this process.
func (f *Folder) Recovery(stream string) storage.Recovery {
	if f == nil {
		return storage.Recovery{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := storage.Recovery{Generation: f.marker.Generation, Repaired: f.marker.Repaired, EndLost: f.marker.EndLost}
	r.Epoch, r.EpochSeq = f.marker.epoch(stream)
	return r
}

// EpochBegan records that the marker of an epoch is in a stream, at a sequence.
func (f *Folder) EpochBegan(stream string, epoch, seq uint64) error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.marker.Epochs == nil {
		f.marker.Epochs = make(map[string]epochMarker)
	}
	f.marker.EndLost = f.marker.EndLost && stream != storage.EventsStream
	f.marker.Epochs[stream] = epochMarker{strconv.FormatUint(epoch, 36), seq}
	return f.marker.save(f.dir)
}

// Note records that a stream has held a sequence.
func (f *Folder) Note(stream string, seq uint64) {
	if f != nil {
		f.extents.note(stream, extent{Last: seq})
	}
}

// NoteStream records what a stream holds: its last sequence and how many messages it has.
func (f *Folder) NoteStream(stream string, last, messages uint64) {
	if f == nil {
		return
	}
	e := extent{Last: last}
	if isBucket(stream) {
		e.Keys = messages // a bucket keeps one message of each key
	}
	f.extents.note(stream, e)
}

// Checkpoint is called every few seconds while the log is open. It records how many keys the buckets have that have changed, which it asks count
// for. At most once a minute it writes what has certainly reached the disk by now.
func (f *Folder) Checkpoint(now time.Time, count func(stream string) (last, messages uint64, err error)) error {
	if f == nil {
		return nil
	}
	for _, stream := range f.extents.takeChanged() {
		if !isBucket(stream) {
			continue
		}
		if last, messages, err := count(stream); err == nil {
			f.NoteStream(stream, last, messages)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	due := f.extents.durable(now)
	if due == nil {
		return nil
	}
	f.marker.Extents = due
	return f.marker.save(f.dir)
}

// Close unlocks the folder. Whole says that the server has written everything to its files:
// then the folder is recorded as closed in order.
func (f *Folder) Close(whole bool) error {
	if f == nil {
		return nil
	}
	var err error
	f.extents.close()
	if whole {
		f.marker.Extents = f.extents.all()
		err = f.marker.end(f.dir, f.lock)
	}
	return errors.Join(err, f.lock.Close())
}

func isBucket(stream string) bool { return strings.HasPrefix(stream, storage.BucketPrefix) }
