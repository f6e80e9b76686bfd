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
		want   uint64 // its generation
	}{
		{"closed", false, true, "a", 0},
		{"closed, then the machine went down", false, true, "b", 0},
		{"killed", false, false, "a", 0},
		{"the machine went down", false, false, "b", 1},
		{"the machine went down, synced", true, false, "b", 0},
		{"nobody knows", false, false, "", 1},
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
			if err != nil || next.Generation != c.want {
				t.Errorf("%+v, %v; want generation %d", next, err, c.want)
			}
			if err := endLife(t, next, dir); err != nil {
				t.Fatal(err)
			}
			if again, err := beginLife(dir, "z", false); err != nil || again.Generation != c.want {
				t.Errorf("%+v, %v; want generation %d again", again, err, c.want)
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

// A log whose machine went down has another epoch; one whose process was killed
// has not.
func TestEpochAfterPowerCut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	add(t, l, 0)
	epoch := l.Epoch()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	unclean := life{Boot: "another"}
	if err := unclean.save(dir); err != nil {
		t.Fatal(err)
	}
	after := open(t, Config{Dir: dir})
	if after.Epoch() == epoch {
		t.Error("the epoch is what it was")
	}
	if last := after.Last(); last.Seq != 1 || last.Epoch != after.Epoch() {
		t.Errorf("the newest event is %v", last)
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
