// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"os"
	"testing"
)

func TestEndLost(t *testing.T) {
	for _, c := range []struct {
		name   string
		synced bool
		closed bool
		boot   string // at the next start
		want   bool
	}{
		{"closed", false, true, "a", false},
		{"closed, then a power cut", false, true, "b", false},
		{"killed", false, false, "a", false},
		{"power cut", false, false, "b", true},
		{"power cut, synced", true, false, "b", false},
		{"no boot id", false, false, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			m, err := beginMarker(dir, "a", c.synced)
			if err != nil || m.Generation != 0 {
				t.Fatal(m, err)
			}
			if c.closed {
				endMarker(t, m, dir)
			}
			next, err := beginMarker(dir, c.boot, false)
			if err != nil || next.EndLost != c.want {
				t.Errorf("EndLost is %v, want %v; error %v", next.EndLost, c.want, err)
			}
			endMarker(t, next, dir)
			if again, err := beginMarker(dir, "z", false); err != nil || again.EndLost != c.want {
				t.Errorf("before an epoch has begun, EndLost is %v, want %v; error %v", again.EndLost, c.want, err)
			}
		})
	}
}

func endMarker(t *testing.T, m storeMarker, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := m.end(dir, f); err != nil {
		t.Fatal(err)
	}
}
