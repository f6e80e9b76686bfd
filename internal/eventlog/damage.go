// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

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
)

// Left alone, JetStream passes over a stream whose description is damaged, cuts a
// block off at the first record that is, and does not miss a block that is gone. So
// the store is looked through before the server starts, and the server does not
// start on one that is damaged.

// missing is what is wrong with a file that is not there.
const missing = "it is missing"

const (
	msgsDir   = "msgs"     // of a stream, for its blocks
	indexFile = "index.db" // in that; JetStream can do without it
)

// A damage is a file of the store that is not as it was written.
type damage struct {
	stream string
	file   string // below the folder of streams
	what   string
	// crash says that a process or a machine that died accounts for it: it is
	// mended, and nothing is lost that was promised.
	crash bool
	// good is where a block's readable records are.
	good []span
	size int
	// absent says that records are missing, and nobody knows from which file.
	absent bool
}

func (d *damage) String() string { return d.file + ": " + d.what }

// streamsDir returns the folder of streams in a log's folder.
func streamsDir(dir string) string {
	return filepath.Join(dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams")
}

// An inspection looks through a store.
type inspection struct {
	dir     string // of streams
	closed  bool   // in order, when the log was last open
	powered bool   // the machine has not gone down since
	found   []damage
	held    map[string]extent // what the streams' blocks have, by stream
}

// inspect returns what is damaged in a store that a life has left behind, in a
// machine that runs as boot says.
func inspect(dir string, l life, boot string) ([]damage, error) {
	streams, err := streamsIn(dir)
	if err != nil {
		return nil, err
	}
	i := &inspection{dir: streamsDir(dir), closed: l.Closed, powered: l.Boot != "" && l.Boot == boot, held: make(map[string]extent)}
	known, lost := knownExtents(dir, l, boot)
	if lost != nil {
		i.add(damage{file: extentsFile, what: fmt.Sprintf("what it notes of the store cannot be read (%v)", lost)})
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
	for _, file := range slices.Sorted(maps.Keys(l.Files)) {
		i.compare(file, l.Files[file], sizes)
	}
	for _, stream := range slices.Sorted(maps.Keys(known)) {
		i.measure(stream, known[stream])
	}
	return i.found, nil
}

// measure looks whether a stream has as much as it is known to have had. What a dead
// process leaves of the events ends where it ends: positions behind that are refused.
// A registry or a journal has every change that was answered.
func (i *inspection) measure(stream string, want extent) {
	held, there := i.held[stream]
	var what string
	switch {
	case slices.ContainsFunc(i.found, func(d damage) bool { return d.stream == stream && !d.crash }):
		return // which is enough
	case !there:
		i.add(damage{stream: stream, file: filepath.Join(stream, server.JetStreamMetaFile), what: missing})
		return
	case stream == streamName:
		return
	case held.Last == 0 && want.Last > 0:
		what = fmt.Sprintf("its records up to %d are gone", want.Last)
	case !strings.HasPrefix(stream, bucketPrefix):
		return
	case held.Last < want.Last:
		what = fmt.Sprintf("it ends at record %d, and there were %d", held.Last, want.Last)
	case held.Keys < want.Keys:
		what = fmt.Sprintf("it has %d keys, and had %d", held.Keys, want.Keys)
	default:
		return
	}
	cut := false // by damage that is known already
	for k := range i.found {
		if i.found[k].stream == stream && strings.HasSuffix(i.found[k].file, ".blk") {
			i.found[k].crash, cut = false, true
		}
	}
	if !cut {
		i.add(damage{stream: stream, file: filepath.Join(stream, msgsDir), what: what, absent: true})
	}
}

// add notes a damage of a file of which none is known.
func (i *inspection) add(d damage) {
	if !slices.ContainsFunc(i.found, func(o damage) bool { return o.file == d.file }) {
		i.found = append(i.found, d)
	}
}

// filesOf returns the sizes of the files that hold what a store keeps.
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

// compare looks whether a file is as large as it was when the log was closed.
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

func (i *inspection) spans(stream, file string) []span {
	b, err := os.ReadFile(filepath.Join(i.dir, file))
	if err != nil {
		return nil
	}
	return goodSpans(stream, blockIndex(file), b)
}

// kinds reports whether files and folders of a stream are what they should be.
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

// meta looks at a stream's description.
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
			what: "what describes the stream does not match its checksum",
		})
	}
	return nil
}

func metaSum(stream string, b []byte) string {
	sum := newSum(stream)
	_, _ = sum.Write(b)
	return hex.EncodeToString(sum.Sum(nil))
}

// blocks looks at a stream's messages. A process that dies may leave half a record
// at the end of the last block; a machine, at the end of each.
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
		if strings.HasPrefix(stream, bucketPrefix) {
			addKeys(keys, b, good)
		}
		end := 0 // of what is good from the beginning on
		if len(good) > 0 && good[0].from == 0 {
			end = good[0].to
		}
		if end == len(b) {
			continue
		}
		torn := len(good) == 0 || len(good) == 1 && end > 0
		i.found = append(i.found, damage{
			stream: stream, file: file, good: good, size: len(b),
			what:  fmt.Sprintf("the record at byte %d is damaged", end),
			crash: torn && !i.closed && (!i.powered || k == len(files)-1),
		})
	}
	return nil
}

// addKeys adds the hashes of the keys that a bucket's block has records of.
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

// wrongKind says what stands in the place of a file, or of a folder.
func wrongKind(path string) string {
	if isFolder(path) {
		return "a folder stands in its place"
	}
	return "it is no folder"
}

// blockIndex returns the number in a block's name, zero when there is none.
func blockIndex(file string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".blk"))
	return n
}
