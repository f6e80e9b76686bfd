// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// mend looks through the store in a folder. What a crash accounts for is put right;
// more only when asked to, and else an error says what it is.
func mend(dir, boot string, repair bool, log *slog.Logger) error {
	l, err := readLife(dir)
	if err != nil && !repair {
		return err
	}
	lost := err // the life is
	r := &repairs{dir: dir, log: log, aside: filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000Z"))}
	if err := r.folders(repair); err != nil {
		return err
	}
	found, err := inspect(dir, l, boot)
	if err != nil {
		return err
	}
	var worst []damage
	for _, d := range found {
		if !d.crash {
			worst = append(worst, d)
			continue
		}
		if err := r.afterCrash(d); err != nil {
			return fmt.Errorf("event log: mend %s: %w", d.file, err)
		}
	}
	switch {
	case len(worst) > 0 && !repair:
		return fmt.Errorf("event log: the store in %s is damaged: %s%s; start once with --repair, which moves what is damaged aside and keeps the rest, or restore the folder from a backup",
			streamsDir(dir), &worst[0], andMore(worst))
	case len(worst) == 0 && lost == nil:
		if repair {
			log.Info("event log: nothing is to be repaired; start without --repair from now on", "folder", dir)
		}
		return nil
	}
	if err := r.all(worst, l, lost); err != nil {
		return fmt.Errorf("event log: repair the store in %s: %w", dir, err)
	}
	return nil
}

func andMore(found []damage) string {
	if len(found) == 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d files more)", len(found)-1)
}

// A repairs puts a store right. What it replaces it moves aside first.
type repairs struct {
	dir   string
	aside string
	log   *slog.Logger
}

// afterCrash mends what a crash left. Half a record JetStream cuts off by itself.
func (r *repairs) afterCrash(d damage) error {
	r.log.Warn("event log: the last process or the machine died while it wrote; what is not whole is left out", "file", d.file, "found", d.what)
	if filepath.Base(d.file) == server.JetStreamMetaFile {
		return r.meta(d.stream)
	}
	return nil
}

// folders sees that the folders above the streams are none of something else. Indexes
// that are folders go aside: JetStream makes others, and nothing is lost.
func (r *repairs) folders(repair bool) error {
	for _, path := range []string{filepath.Dir(filepath.Dir(streamsDir(r.dir))), filepath.Dir(streamsDir(r.dir)), streamsDir(r.dir)} {
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
	indexes, err := filepath.Glob(filepath.Join(streamsDir(r.dir), "*", msgsDir, indexFile))
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
		r.log.Warn("event log: an index was a folder; it is made again", "file", path, "aside", r.aside)
	}
	return nil
}

// all repairs what is damaged. No position from before is trusted then: a marker may be
// among what was lost. Lost is why the life cannot be read, if so.
func (r *repairs) all(found []damage, l life, lost error) error {
	for _, d := range found {
		if err := r.one(d); err != nil {
			return err
		}
	}
	if lost != nil {
		if err := r.move(filepath.Join(r.dir, lifeFile)); err != nil {
			return err
		}
		r.log.Warn("event log: repaired", "file", lifeFile, "found", lost, "aside", r.aside)
		l = life{}
	}
	l.Closed, l.Repaired, l.Files, l.Extents = true, true, nil, nil
	return l.save(r.dir)
}

// one repairs a file: a block keeps its good records.
func (r *repairs) one(d damage) error {
	path := filepath.Join(streamsDir(r.dir), d.file)
	switch filepath.Base(d.file) {
	case extentsFile:
		r.log.Warn("event log: repaired; nobody knows whether the store has all that it had", "file", d.file, "found", d.what, "aside", r.aside)
		return r.move(filepath.Join(r.dir, d.file))
	case server.JetStreamMetaFile, server.JetStreamMetaFileSum:
		return r.description(d)
	}
	defer r.bucket(d)
	// JetStream's index would have it that all is there.
	if err := r.move(filepath.Join(streamsDir(r.dir), d.stream, msgsDir, indexFile)); err != nil {
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
		"lost_bytes", d.size-len(kept), "lost_behind", d.places(), "aside", r.aside)
	if len(kept) == 0 {
		return nil
	}
	return writeSynced(path, kept)
}

// bucket says what the loss of a bucket's records means.
func (r *repairs) bucket(d damage) {
	if strings.HasPrefix(d.stream, bucketPrefix) {
		r.log.Warn("event log: a bucket was damaged: what is lost is not in it (of the registry: gateways and tokens, to be added again), and what was changed or removed lately may be as it was before; look through it", "stream", d.stream)
	}
}

// description repairs what describes a stream, if there is something left of it.
func (r *repairs) description(d damage) error {
	folder := filepath.Join(streamsDir(r.dir), d.stream)
	if d.what == missing {
		r.log.Warn("event log: a stream is lost", "stream", d.stream, "file", d.file, "found", d.what)
		r.bucket(d)
	} else {
		r.log.Warn("event log: repaired", "stream", d.stream, "file", d.file, "found", d.what, "aside", r.aside)
	}
	if exists(folder) && !isFolder(folder) {
		return r.move(folder)
	}
	if !exists(folder) {
		return nil // all of the stream is gone
	}
	return r.meta(d.stream)
}

// places returns the sequences behind which something is lost.
func (d *damage) places() (behind []uint64) {
	end, last := 0, uint64(0)
	for _, s := range d.good {
		if s.from > end {
			behind = append(behind, last)
		}
		end, last = s.to, s.last
	}
	if end < d.size || d.size == 0 {
		behind = append(behind, last)
	}
	return behind
}

// meta describes a stream anew, with what opening it will not change. It counts as
// made now, and so has another epoch.
func (r *repairs) meta(stream string) error {
	dir := filepath.Join(streamsDir(r.dir), stream)
	name, sum := filepath.Join(dir, server.JetStreamMetaFile), filepath.Join(dir, server.JetStreamMetaFileSum)
	if err := errors.Join(r.move(name), r.move(sum)); err != nil {
		return err
	}
	info := server.FileStreamInfo{Created: time.Now().UTC(), StreamConfig: server.StreamConfig{
		Name: stream, Storage: server.FileStorage, Replicas: 1, Subjects: subjectsOf(stream),
	}}
	if strings.HasPrefix(stream, bucketPrefix) {
		info.MaxMsgsPer = 1
	}
	b, err := json.Marshal(info)
	if err != nil {
		panic("BUG: a stream's description does not marshal: " + err.Error())
	}
	return errors.Join(writeSynced(name, b), writeSynced(sum, []byte(metaSum(stream, b))))
}

// subjectsOf returns the subjects of a stream of ours.
func subjectsOf(stream string) []string {
	if bucket, ok := strings.CutPrefix(stream, bucketPrefix); ok {
		return []string{"$KV." + bucket + ".>"}
	}
	if stream == streamName {
		return []string{subjectPrefix + ">"}
	}
	return []string{"gatecast." + strings.TrimPrefix(stream, "gatecast_") + ".*"}
}

// move moves a file aside, if it is there.
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
