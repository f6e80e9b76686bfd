// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"os"
	"path/filepath"
	"testing"
)

// Admin tokens may be changed while the node runs; a file that cannot be read leaves
// those that were.
func TestAdminTokensReload(t *testing.T) {
	cfg := config(t)
	cfg.AdminTokenFile = filepath.Join(t.TempDir(), "admins")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(cfg.AdminTokenFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the-token-of-the-first")
	s := start(t, cfg)
	status := func(token string) int {
		s.admin = token
		return s.call("GET", root+"/gateways", "", nil)
	}
	if got := status("the-token-of-the-first"); got != 200 {
		t.Fatalf("the first: %d", got)
	}
	write("ops admin the-token-of-the-second\ndeployer publish the-token-of-the-third\n")
	s.Reload()
	eventually(t, "the second is known", func() bool { return status("the-token-of-the-second") == 200 })
	for token, want := range map[string]int{"the-token-of-the-first": 401, "the-token-of-the-third": 403} {
		if got := status(token); got != want {
			t.Errorf("%s: %d, want %d", token, got, want)
		}
	}
}

func TestAdminTokensBadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admins")
	n := &Node{cfg: Config{Settings: settings.Settings{AdminTokenFile: file}}}
	if err := os.WriteFile(file, []byte("the-token-of-the-first"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := n.loadAdmins()
	if err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(file, []byte("short"), 0o600) },
		func() error { return os.Remove(file) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := a.load(); err == nil {
			t.Error("no error")
		}
		if _, ok := a.Identify("the-token-of-the-first"); !ok {
			t.Error("the token that was is forgotten")
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a token was made")
	}
}
