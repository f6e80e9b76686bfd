// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLife(t *testing.T) {
	for _, c := range []struct {
		name   string
		synced bool
		end    bool
		boot   string // of the next life
		want   bool   // its end may be lost
	}{
		{"closed", false, true, "a", false},
		{"closed, then the machine went down", false, true, "b", false},
		{"killed", false, false, "a", false},
		{"the machine went down", false, false, "b", true},
		{"the machine went down, synced", true, false, "b", false},
		{"nobody knows", false, false, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := beginLife(dir, "a", c.synced)
			if err != nil || l.Generation != 0 {
				t.Fatal(l, err)
			}
			if c.end {
				if err := endLife(t, l, dir); err != nil {
					t.Fatal(err)
				}
			}
			next, err := beginLife(dir, c.boot, false)
			if err != nil || next.EndLost != c.want {
				t.Errorf("%+v, %v; want its end lost: %v", next, err, c.want)
			}
			if err := endLife(t, next, dir); err != nil {
				t.Fatal(err)
			}
			if again, err := beginLife(dir, "z", false); err != nil || again.EndLost != c.want {
				t.Errorf("%+v, %v; want it known until an epoch has begun", again, err)
			}
		})
	}
}

func TestDamagedLife(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, lifeFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), lifeFile) {
		t.Errorf("error %v", err)
	}
}

// Where the machine may have lost the end of a log, whoever reads over that place is
// told, once.
func TestEndLost(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	before := add(t, l, 0)
	closeLog(t, l)
	life, err := readLife(dir)
	if err != nil {
		t.Fatal(err)
	}
	life.Boot, life.Closed = "another", false
	if err := life.save(dir); err != nil {
		t.Fatal(err)
	}
	closeLog(t, open(t, Config{Dir: dir}))
	after := open(t, Config{Dir: dir})
	if seq, ok := after.Resolve(before); seq != 1 || !ok {
		t.Errorf("%v is no position any more", before)
	}
	if got := read(t, after, before, 2); !got[0].Lost || got[0].Body != nil || got[1].Lost {
		t.Errorf("%+v", got)
	}
}

func endLife(t *testing.T, l life, dir string) error {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return l.end(dir, f)
}
