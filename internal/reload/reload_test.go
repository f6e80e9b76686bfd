// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package reload

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A folder has the files that a test replaces.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) must(errs ...error) {
	f.t.Helper()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

// write overwrites a file, as an editor can.
func (f folder) write(name string, text []byte) {
	f.t.Helper()
	f.must(os.WriteFile(f.path(name), text, 0o600))
}

// rename replaces a file by another one.
func (f folder) rename(name string, text []byte) {
	f.t.Helper()
	f.write("new", text)
	f.must(os.Rename(f.path("new"), f.path(name)))
}

// writeUnnoticed overwrites a file and keeps its inode, size and modification time.
func (f folder) writeUnnoticed(name string, text []byte) {
	f.t.Helper()
	info, err := os.Stat(f.path(name))
	f.must(err)
	if len(text) != int(info.Size()) {
		f.t.Fatalf("%d bytes are to replace %d", len(text), info.Size())
	}
	f.write(name, text)
	f.must(os.Chtimes(f.path(name), time.Time{}, info.ModTime()))
}

// A text is a Source whose Load fails if the file begins with "bad".
type text struct {
	file string
	now  string
}

func (t *text) String() string  { return "text" }
func (t *text) Files() []string { return []string{t.file} }
func (t *text) Load() error {
	b, err := readRegular(t.file)
	if err == nil && bytes.HasPrefix(b, []byte("bad")) {
		err = fmt.Errorf("%s: %s", t.file, b)
	}
	if err == nil {
		t.now = string(b)
	}
	return err
}

// newReloader returns a Reloader that logs into the buffer.
func newReloader(sources ...Source) (*Reloader, *bytes.Buffer) {
	var log bytes.Buffer
	return New(sources, slog.New(slog.NewTextHandler(&log, nil))), &log
}

// A file is reloaded whenever its contents changed, however they were changed. A failed
// load is retried until it succeeds. Each state is logged once.
func TestScan(t *testing.T) {
	f := folder{t, t.TempDir()}
	f.write("a", []byte("one"))
	f.must(os.Symlink("a", f.path("link")))
	w := &text{file: f.path("link"), now: "one"}
	r, log := newReloader(w)
	for _, step := range []struct {
		name   string
		change func()
		want   string // the contents in use after a scan
		log    string // text of the one log line; "" for none
	}{
		{"nothing has changed since it was loaded", func() {}, "one", ""},
		{"nothing has changed", func() {}, "one", ""},
		{"written over", func() { f.write("a", []byte("two")) }, "two", "reloaded"},
		{"replaced", func() { f.rename("a", []byte("three")) }, "three", "reloaded"},
		{"nothing again", func() {}, "three", ""},
		{"of the same size and time", func() { f.writeUnnoticed("a", []byte("THREE")) }, "THREE", "reloaded"},
		{"bad", func() { f.write("a", []byte("bad 1")) }, "THREE", "bad 1"},
		{"still bad", func() {}, "THREE", ""},
		{"bad otherwise", func() { f.write("a", []byte("bad 2")) }, "THREE", "bad 2"},
		{"good", func() { f.write("a", []byte("four")) }, "four", "reloaded"},
		{"gone", func() { f.must(os.Remove(f.path("a"))) }, "four", "no such file"},
		{"still gone", func() {}, "four", ""},
		{"back as it was", func() { f.write("a", []byte("four")) }, "four", "reloaded"},
		{"a folder", func() { f.must(os.Remove(f.path("a")), os.Mkdir(f.path("a"), 0o700)) }, "four", "not a file"},
		{"a file again", func() { f.must(os.Remove(f.path("a"))); f.write("a", []byte("five")) }, "five", "reloaded"},
		{"another target of the link", func() {
			f.write("b", []byte("six"))
			f.must(os.Symlink("b", f.path("new")), os.Rename(f.path("new"), f.path("link")))
		}, "six", "reloaded"},
		{"bad for a moment, between two scans", func() { f.write("b", []byte("bad")); f.write("b", []byte("six")) }, "six", ""},
	} {
		log.Reset()
		step.change()
		r.Scan(false)
		if w.now != step.want {
			t.Errorf("%s: %q is in use, want %q", step.name, w.now, step.want)
		}
		if lines := strings.Count(log.String(), "\n"); !strings.Contains(log.String(), step.log) || lines != min(len(step.log), 1) {
			t.Errorf("%s: logged %q, want %q", step.name, log, step.log)
		}
	}
}

// A requested reload logs an error even if it is the same as before.
func TestRequestedReloadIsLogged(t *testing.T) {
	f := folder{t, t.TempDir()}
	f.write("a", []byte("bad"))
	r, log := newReloader(&text{file: f.path("a")})
	for range 2 {
		log.Reset()
		r.Scan(true)
		if !strings.Contains(log.String(), "bad") {
			t.Errorf("logged %q", log)
		}
	}
}
