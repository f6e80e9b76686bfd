// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// missing is what is wrong with a file that is not there.
const missing = "it is missing"

const (
	msgsDir   = "msgs"     // of a stream, for its blocks
	indexFile = "index.db" // in msgsDir; JetStream makes it again from the blocks
)

// A damage is a file of the store that is not as it was written.
type damage struct {
	stream string
	file   string // below the folder of streams
	what   string
	// crash says that a crash or a power cut explains the damage. It is repaired without
	// being asked, and nothing is lost that was promised.
	crash bool
	// good is where a block's readable records are.
	good []span
	size int // of the file in bytes
	// absent says that records are missing, and it is not known from which file.
	absent bool
}

func (d *damage) String() string { return d.file + ": " + d.what }

// An inspection is one pass over a store. It only reads. It finds damage in this order, and
// records one damage per file:
//
//  1. files and folders of the wrong kind;
//  2. descriptions and records whose checksum is wrong;
//  3. files that are missing, or have another size than when the log was closed;
//  4. streams that have less than their extent.
type inspection struct {
	dir     string // of streams
	closed  bool   // the last process closed the log in order
	powered bool   // the machine has not stopped since
	found   []damage
	held    map[string]extent // what the blocks of each stream have
}

// inspect returns the damage in a store, given the last process's store marker and the boot
// id of the machine.
func inspect(dir string, m storeMarker, boot string) ([]damage, error) {
	streams, err := streamsIn(dir)
	if err != nil {
		return nil, err
	}
	i := &inspection{dir: StreamsDir(dir), closed: m.Closed, powered: m.Boot != "" && m.Boot == boot, held: make(map[string]extent)}
	known, lost := knownExtents(dir, m, boot)
	if lost != nil {
		i.add(damage{file: extentsFile, what: fmt.Sprintf("it cannot be read (%v)", lost)})
	}
	sizes, err := filesOf(i.dir)
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	for _, name := range streams {
		if !i.kinds(name) {
			continue
		}
		if err := i.meta(name); err != nil {
			return nil, fmt.Errorf("event log: %w", err)
		}
		if err := i.blocks(name, sizes); err != nil {
			return nil, fmt.Errorf("event log: %w", err)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(m.Files)) {
		i.compare(file, m.Files[file], sizes)
	}
	for _, stream := range slices.Sorted(maps.Keys(known)) {
		i.measure(stream, known[stream])
	}
	return i.found, nil
}

// measure compares a stream with the extent it must have. The events are exempt: after a
// crash they can end earlier, and positions after their end are refused. A journal can end
// earlier, but must not be empty. A bucket must have every change that was acknowledged:
// otherwise a revoked token could be valid again.
func (i *inspection) measure(stream string, want extent) {
	held, there := i.held[stream]
	var what string
	switch {
	case slices.ContainsFunc(i.found, func(d damage) bool { return d.stream == stream && !d.crash }):
		return // the stream is refused anyway
	case !there:
		i.add(damage{stream: stream, file: filepath.Join(stream, server.JetStreamMetaFile), what: missing})
		return
	case stream == storage.EventsStream:
		return
	case held.Last == 0 && want.Last > 0:
		what = fmt.Sprintf("its records up to %d are gone", want.Last)
	case !isBucket(stream):
		return
	case held.Last < want.Last:
		what = fmt.Sprintf("it ends at record %d, and there were %d", held.Last, want.Last)
	case held.Keys < want.Keys:
		what = fmt.Sprintf("it has %d keys, and had %d", held.Keys, want.Keys)
	default:
		return
	}
	cut := false // a damage that is already known explains it
	for k := range i.found {
		if i.found[k].stream == stream && strings.HasSuffix(i.found[k].file, ".blk") {
			i.found[k].crash, cut = false, true
		}
	}
	if !cut {
		i.add(damage{stream: stream, file: filepath.Join(stream, msgsDir), what: what, absent: true})
	}
}

// add records a damage, unless one of the same file is known.
func (i *inspection) add(d damage) {
	if !slices.ContainsFunc(i.found, func(o damage) bool { return o.file == d.file }) {
		i.found = append(i.found, d)
	}
}

// filesOf returns the sizes in bytes of the files that hold a store's data.
func filesOf(dir string) (map[string]int64, error) {
	sizes := make(map[string]int64)
	for _, pattern := range []string{"*/" + server.JetStreamMetaFile, "*/msgs/*.blk"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				return nil, err
			}
			file, err := filepath.Rel(dir, name)
			if err != nil {
				return nil, err
			}
			if !strings.HasPrefix(file, ".") { // a stream that is being removed
				sizes[file] = info.Size()
			}
		}
	}
	return sizes, nil
}

// compare compares the size of a file with its size when the log was closed.
func (i *inspection) compare(file string, size int64, sizes map[string]int64) {
	stream, _, _ := strings.Cut(file, string(filepath.Separator))
	is, there := sizes[file]
	switch {
	case slices.ContainsFunc(i.found, func(d damage) bool { return d.file == file }):
	case !there:
		i.found = append(i.found, damage{stream: stream, file: file, what: missing})
	case is != size && filepath.Base(file) != server.JetStreamMetaFile:
		good := i.spans(stream, file)
		i.found = append(i.found, damage{
			stream: stream, file: file, good: good, size: int(is),
			what: fmt.Sprintf("it has %d bytes, and had %d when the log was closed", is, size),
		})
	}
}

// spans returns where the good records of a block are, nil if it cannot be read.
func (i *inspection) spans(stream, file string) []span {
	b, err := os.ReadFile(filepath.Join(i.dir, file))
	if err != nil {
		return nil
	}
	return goodSpans(stream, blockIndex(file), b)
}

// kinds reports whether the files of a stream are files and its folders are folders.
func (i *inspection) kinds(stream string) bool {
	wrong := false
	for name, folder := range map[string]bool{server.JetStreamMetaFile: false, server.JetStreamMetaFileSum: false, msgsDir: true} {
		path := filepath.Join(i.dir, stream, name)
		if exists(path) && isFolder(path) != folder {
			i.add(damage{stream: stream, file: filepath.Join(stream, name), what: wrongKind(path)})
			wrong = true
		}
	}
	return !wrong
}

// meta checks a stream's description, meta.inf.
func (i *inspection) meta(stream string) error {
	b, err := os.ReadFile(filepath.Join(i.dir, stream, server.JetStreamMetaFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(i.dir, stream, server.JetStreamMetaFileSum))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(sum) != metaSum(stream, b) {
		i.found = append(i.found, damage{
			stream: stream, file: filepath.Join(stream, server.JetStreamMetaFile), crash: !i.closed,
			what: "the description of the stream does not match its checksum",
		})
	}
	return nil
}

// metaSum returns the content of meta.sum for a stream's meta.inf.
func metaSum(stream string, b []byte) string {
	sum := newSum(stream)
	_, _ = sum.Write(b)
	return hex.EncodeToString(sum.Sum(nil))
}

// blocks checks a stream's messages. A process that is killed can leave half a record at the
// end of the last block. A power cut can leave one at the end of every block.
func (i *inspection) blocks(stream string, sizes map[string]int64) error {
	var files []string
	for file := range sizes {
		if strings.HasPrefix(file, stream+string(filepath.Separator)) && strings.HasSuffix(file, ".blk") {
			files = append(files, file)
		}
	}
	slices.SortFunc(files, func(a, b string) int { return blockIndex(a) - blockIndex(b) })
	keys := make(map[uint64]struct{}) // by hash
	held := extent{}
	defer func() {
		held.Keys = uint64(len(keys))
		i.held[stream] = held
	}()
	for k, file := range files {
		path := filepath.Join(i.dir, file)
		if isFolder(path) {
			i.add(damage{stream: stream, file: file, what: wrongKind(path)})
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		good := goodSpans(stream, blockIndex(file), b)
		for _, s := range good {
			held.Last = max(held.Last, s.last)
		}
		if isBucket(stream) {
			addKeys(keys, b, good)
		}
		i.block(stream, file, good, len(b), k == len(files)-1)
	}
	return nil
}

// block records the damage of a block of size bytes, if not all of its records are good.
// Newest says that it is the last block of its stream.
func (i *inspection) block(stream, file string, good []span, size int, newest bool) {
	end := 0 // of the good records at the beginning
	if len(good) > 0 && good[0].from == 0 {
		end = good[0].to
	}
	if end == size {
		return
	}
	torn := len(good) == 0 || len(good) == 1 && end > 0
	i.found = append(i.found, damage{
		stream: stream, file: file, good: good, size: size,
		what:  fmt.Sprintf("the record at byte %d is damaged", end),
		crash: torn && !i.closed && (!i.powered || newest),
	})
}

// addKeys adds the hashes of the keys in a bucket's block. A hash takes less memory than a key.
// That two keys have the same hash of 64 bits is improbable enough.
func addKeys(keys map[uint64]struct{}, b []byte, good []span) {
	for _, s := range good {
		for at := s.from; at < s.to; {
			n, subject := recordSubject(b[at:])
			if len(subject) > 0 {
				keys[maphash.Bytes(keySeed, subject)] = struct{}{}
			}
			at += n
		}
	}
}

var keySeed = maphash.MakeSeed()

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// wrongKind describes a folder that must be a file, or a file that must be a folder.
func wrongKind(path string) string {
	if isFolder(path) {
		return "it is a folder and must be a file"
	}
	return "it is a file and must be a folder"
}

// blockIndex returns the number in a block's name, or zero when there is none.
func blockIndex(file string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".blk"))
	return n
}
