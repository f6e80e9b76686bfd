// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"encoding/hex"
	"errors"
	"fmt"
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
}

// inspect returns what is damaged in a store that a life has left behind, in a
// machine that runs as boot says.
func inspect(dir string, l life, boot string) ([]damage, error) {
	streams, err := streamsIn(dir)
	if err != nil {
		return nil, err
	}
	i := &inspection{dir: streamsDir(dir), closed: l.Closed, powered: l.Boot != "" && l.Boot == boot}
	sizes, err := filesOf(i.dir)
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	for _, name := range streams {
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
	return i.found, nil
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
	for k, file := range files {
		b, err := os.ReadFile(filepath.Join(i.dir, file))
		if err != nil {
			return err
		}
		good := goodSpans(stream, blockIndex(file), b)
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

// blockIndex returns the number in a block's name, zero when there is none.
func blockIndex(file string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".blk"))
	return n
}
