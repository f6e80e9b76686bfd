// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package secretfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A fakeInfo is a file of some user.
type fakeInfo struct {
	mode fs.FileMode
	uid  uint32
}

func (f fakeInfo) Name() string       { return "secret" }
func (f fakeInfo) Size() int64        { return 1 }
func (f fakeInfo) Mode() fs.FileMode  { return f.mode }
func (f fakeInfo) ModTime() time.Time { return time.Time{} }
func (f fakeInfo) IsDir() bool        { return false }
func (f fakeInfo) Sys() any           { return &syscall.Stat_t{Uid: f.uid} }

// Every mode, of root and of a user, is accepted or refused as the package says.
func TestCheckEveryMode(t *testing.T) {
	for _, uid := range []uint32{0, 65532} {
		for mode := range fs.FileMode(0o1000) {
			others := mode&0o004 != 0 || mode&0o002 != 0
			groupWrites := mode&0o020 != 0
			groupReads := mode&0o040 != 0
			want := !others && !groupWrites && (!groupReads || uid == 0)
			if err := Check(fakeInfo{mode, uid}); (err == nil) != want {
				t.Errorf("mode %04o of user %d: %v, want accepted %t", mode, uid, err, want)
			}
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(to, name string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	put("private", "secret", 0o600)
	link(".", "..data")
	volume := link("..data/private", "volume")
	put("open", "secret", 0o644)
	for _, tt := range []struct{ name, path, says string }{
		{"of its owner", filepath.Join(dir, "private"), ""},
		{"by a link", link("private", "link"), ""},
		{"by links, as in a Secret's volume", volume, ""},
		{"for every user", filepath.Join(dir, "open"), "mode 0644"},
		{"for every user, by a link", link("open", "open-link"), "mode 0644"},
		{"too long", put("long", "123456789", 0o600), "9 bytes"},
		{"a folder", dir, "not a file"},
		{"a pipe", pipe, "not a file"},
		{"none", filepath.Join(dir, "none"), "no such file"},
		{"a link to none", link("none", "dangling"), "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Read(tt.path, 8)
			if tt.says == "" && (err != nil || string(b) != "secret") {
				t.Errorf("%q, %v", b, err)
			}
			if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%v, want it to say %q", err, tt.says)
			}
		})
	}
}

// A Secret's volume in a pod with fsGroup: root owns the file, the pod's group reads it.
func TestReadGroupOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		uid, gid int
		mode     fs.FileMode
		accepted bool
	}{
		{0, 2000, 0o440, true}, {0, 2000, 0o640, true}, {0, 2000, 0o660, false}, {0, 2000, 0o444, false},
		{65532, 65532, 0o440, false}, {65532, 65532, 0o400, true},
	} {
		if err := os.Chown(path, tt.uid, tt.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path, 8); (err == nil) != tt.accepted {
			t.Errorf("%d:%d %04o: %v, want accepted %t", tt.uid, tt.gid, tt.mode, err, tt.accepted)
		}
	}
}
