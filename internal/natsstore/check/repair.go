// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// checkStore checks the store in a folder, in two passes: the folders above the streams first,
// because the second pass lists what is in them. It repairs what a crash or a power cut explains.
// With Config.Repair it repairs everything else too; without it, that is an error.
func checkStore(cfg Config, boot string) error {
	m, markerErr := readMarker(cfg.Dir)
	if markerErr != nil && !cfg.Repair {
		return markerErr
	}
	r := &repairs{dir: cfg.Dir, log: cfg.Logger, aside: filepath.Join(cfg.Dir, "damaged-"+timestamp())}
	if err := r.folders(cfg.Repair); err != nil {
		return err
	}
	found, err := inspect(cfg.Dir, m, boot)
	if err != nil {
		return err
	}
	var worst []damage // that no crash explains
	for _, d := range found {
		if !d.crash {
			worst = append(worst, d)
			continue
		}
		if err := r.afterCrash(d); err != nil {
			return fmt.Errorf("event log: repair %s: %w", d.file, err)
		}
	}
	switch {
	case len(worst) > 0 && !cfg.Repair:
		return fmt.Errorf("event log: the store in %s is damaged: %s%s; start once with --repair, which moves what is damaged aside and keeps the rest, or restore the folder from a backup",
			StreamsDir(cfg.Dir), &worst[0], andMore(worst))
	case len(worst) == 0 && markerErr == nil:
		if cfg.Repair {
			cfg.Logger.Info("event log: nothing to repair; start without --repair from now on", "folder", cfg.Dir)
		}
		return nil
	}
	if err := r.all(worst, m, markerErr); err != nil {
		return fmt.Errorf("event log: repair the store in %s: %w", cfg.Dir, err)
	}
	return nil
}

func andMore(found []damage) string {
	if len(found) == 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d more files)", len(found)-1)
}

// A repairs repairs a store. It deletes nothing: it moves each file aside before it
// replaces it.
type repairs struct {
	dir   string
	aside string // folder that damaged files are moved to
	log   *slog.Logger
}

// afterCrash repairs what a crash left. JetStream itself cuts off half a record.
func (r *repairs) afterCrash(d damage) error {
	r.log.Warn("event log: the last process or the machine stopped during a write; what is incomplete is dropped", "file", d.file, "found", d.what)
	if filepath.Base(d.file) == server.JetStreamMetaFile {
		return r.meta(d.stream)
	}
	return nil
}

// folders checks that the folders above the streams are folders. Indexes that are folders
// are moved aside: JetStream makes new ones, and nothing is lost.
func (r *repairs) folders(repair bool) error {
	for _, path := range []string{filepath.Dir(filepath.Dir(StreamsDir(r.dir))), filepath.Dir(StreamsDir(r.dir)), StreamsDir(r.dir)} {
		if !exists(path) || isFolder(path) {
			continue
		}
		if !repair {
			return fmt.Errorf("event log: the store is damaged: %s: %s; start once with --repair, which moves it aside, or restore the folder from a backup", path, wrongKind(path))
		}
		if err := r.move(path); err != nil {
			return fmt.Errorf("event log: %w", err)
		}
		r.log.Warn("event log: repaired", "file", path, "found", wrongKind(path), "aside", r.aside)
	}
	indexes, err := filepath.Glob(filepath.Join(StreamsDir(r.dir), "*", msgsDir, indexFile))
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	for _, path := range indexes {
		if !isFolder(path) {
			continue
		}
		if err := r.move(path); err != nil {
			return fmt.Errorf("event log: %w", err)
		}
		r.log.Warn("event log: an index was a folder; JetStream makes it again", "file", path, "aside", r.aside)
	}
	return nil
}

// all repairs everything in found. After that no earlier position is trusted, because an
// epoch marker can be among what was lost. MarkerErr is why the store marker cannot be read,
// or nil.
func (r *repairs) all(found []damage, m storeMarker, markerErr error) error {
	for _, d := range found {
		if err := r.one(d); err != nil {
			return err
		}
	}
	if markerErr != nil {
		if err := r.move(filepath.Join(r.dir, markerFile)); err != nil {
			return err
		}
		r.log.Warn("event log: repaired", "file", markerFile, "found", markerErr, "aside", r.aside)
		m = storeMarker{}
	}
	m.Closed, m.Repaired, m.Files, m.Extents = true, true, nil, nil
	return m.save(r.dir)
}

// one repairs one file. What that means depends on the file:
//
//   - extents.json is moved aside; the next process begins another one;
//   - meta.inf and meta.sum are written again, with the settings that gatecast gives a stream;
//   - a block keeps its good records;
//   - a block or a folder of blocks that has the wrong kind is moved aside as a whole.
func (r *repairs) one(d damage) error {
	path := filepath.Join(StreamsDir(r.dir), d.file)
	switch filepath.Base(d.file) {
	case extentsFile:
		r.log.Warn("event log: repaired; it is not known whether the store has everything it had", "file", d.file, "found", d.what, "aside", r.aside)
		return r.move(filepath.Join(r.dir, d.file))
	case server.JetStreamMetaFile, server.JetStreamMetaFileSum:
		return r.description(d)
	}
	defer r.warnOfBucket(d)
	// With its index JetStream would assume that all records are there.
	if err := r.move(filepath.Join(StreamsDir(r.dir), d.stream, msgsDir, indexFile)); err != nil {
		return err
	}
	if d.absent {
		r.log.Warn("event log: repaired; records are lost", "stream", d.stream, "found", d.what)
		return nil
	}
	if isFolder(path) || filepath.Base(d.file) == msgsDir {
		r.log.Warn("event log: repaired; its records are lost", "stream", d.stream, "file", d.file, "found", d.what, "aside", r.aside)
		return r.move(path)
	}
	return r.block(path, d)
}

// block replaces a block by one that has its good records only.
func (r *repairs) block(path string, d damage) error {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.move(path); err != nil {
		return err
	}
	var kept []byte
	records := 0
	for _, s := range d.good {
		kept = append(kept, b[s.from:s.to]...)
		records += s.records
	}
	r.log.Warn("event log: repaired", "stream", d.stream, "file", d.file, "found", d.what, "kept_records", records,
		"lost_bytes", d.size-len(kept), "lost_after", d.lostAfter(), "aside", r.aside)
	if len(kept) == 0 {
		return nil
	}
	return writeSynced(path, kept)
}

// warnOfBucket says what the loss of a bucket's records means.
func (r *repairs) warnOfBucket(d damage) {
	if isBucket(d.stream) {
		r.log.Warn("event log: a bucket was damaged: gateways and tokens in it can be missing or have an earlier state; check the registry and add what is missing", "stream", d.stream)
	}
}

// description repairs the description of a stream, if anything of the stream is left.
func (r *repairs) description(d damage) error {
	folder := filepath.Join(StreamsDir(r.dir), d.stream)
	if d.what == missing {
		r.log.Warn("event log: a stream is lost", "stream", d.stream, "file", d.file, "found", d.what)
		r.warnOfBucket(d)
	} else {
		r.log.Warn("event log: repaired", "stream", d.stream, "file", d.file, "found", d.what, "aside", r.aside)
	}
	if exists(folder) && !isFolder(folder) {
		return r.move(folder)
	}
	if !exists(folder) {
		return nil // the whole stream is gone
	}
	return r.meta(d.stream)
}

// lostAfter returns the sequences after which records are lost.
func (d *damage) lostAfter() (after []uint64) {
	end, last := 0, uint64(0)
	for _, s := range d.good {
		if s.from > end {
			after = append(after, last)
		}
		end, last = s.to, s.last
	}
	if end < d.size || d.size == 0 {
		after = append(after, last)
	}
	return after
}

// meta writes a new description of a stream, with what opening it does not change. The
// stream counts as made now, and so has a new epoch.
func (r *repairs) meta(stream string) error {
	dir := filepath.Join(StreamsDir(r.dir), stream)
	name, sum := filepath.Join(dir, server.JetStreamMetaFile), filepath.Join(dir, server.JetStreamMetaFileSum)
	if err := errors.Join(r.move(name), r.move(sum)); err != nil {
		return err
	}
	info := server.FileStreamInfo{Created: time.Now().UTC(), StreamConfig: server.StreamConfig{
		Name: stream, Storage: server.FileStorage, Replicas: 1, Subjects: storage.Subjects(stream),
	}}
	if isBucket(stream) {
		info.MaxMsgsPer = 1
	}
	b, err := json.Marshal(info)
	if err != nil {
		panic("BUG: a stream's description does not marshal: " + err.Error())
	}
	return errors.Join(writeSynced(name, b), writeSynced(sum, []byte(metaSum(stream, b))))
}

// move moves a file aside, if it is there. It keeps its path below the log's folder, so that a
// person can put it back.
func (r *repairs) move(path string) error {
	if !exists(path) {
		return nil
	}
	below, err := filepath.Rel(r.dir, path)
	if err != nil {
		return err
	}
	to := filepath.Join(r.aside, below)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Rename(path, to)
}
