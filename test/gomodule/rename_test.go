// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package gomodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRename runs `make rename` in a copy of the tree. The copy must build, keep its import rules
// and not contain the old module path.
func TestRename(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range files(t) {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(b))
	}
	const renamed = "example.com/team/events-gateway"
	run(t, dir, nil, "make", "--no-print-directory", "rename", "MODULE="+renamed)

	if got := strings.TrimSpace(run(t, dir, nil, "go", "list", "-m")); got != renamed {
		t.Errorf("the module is %s, want %s", got, renamed)
	}
	for _, name := range files(t) {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		} else if strings.Contains(string(b), module) {
			t.Errorf("%s still contains %s", name, module)
		}
	}
	env := []string{"GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off", "CGO_ENABLED=0"}
	run(t, dir, env, "go", "build", "./...")
	run(t, dir, env, "go", "test", "./test/archtest")
	run(t, filepath.Join(dir, "bench", "peers"), env, "go", "list", "-deps", "./...")
}
