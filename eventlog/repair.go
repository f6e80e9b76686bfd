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
	found, err := inspect(dir, l, boot)
	if err != nil {
		return err
	}
	r := &repairs{dir: dir, log: log, aside: filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000Z"))}
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
	l.Closed, l.Repaired, l.Files = true, true, nil
	return l.save(r.dir)
}

// one repairs a file: a block keeps its good records.
func (r *repairs) one(d damage) error {
	path := filepath.Join(streamsDir(r.dir), d.file)
	if filepath.Base(d.file) == server.JetStreamMetaFile {
		if d.what == missing {
			r.log.Warn("event log: a stream is lost", "stream", d.stream, "file", d.file, "found", d.what)
		} else {
			r.log.Warn("event log: repaired", "stream", d.stream, "file", d.file, "found", d.what, "aside", r.aside)
		}
		if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
			return nil // all of the stream is gone
		}
		return r.meta(d.stream)
	}
	// JetStream's index would have it that all is there.
	if err := r.move(filepath.Join(filepath.Dir(path), "index.db")); err != nil {
		return err
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
	if strings.HasPrefix(d.stream, bucketPrefix) {
		r.log.Warn("event log: a bucket was damaged: what was changed or removed lately may be as it was before; look through it", "stream", d.stream)
	}
	if len(kept) == 0 {
		return nil
	}
	return writeSynced(path, kept)
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
	below, err := filepath.Rel(r.dir, path)
	if err != nil {
		return err
	}
	to := filepath.Join(r.aside, below)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(path, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
