// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
)

// Admin tokens can be changed while the node runs.
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
	if err := os.WriteFile(file, []byte("the-token-of-the-first"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := loadAdminTokens(Config{Settings: settings.Settings{AdminTokenFile: file}})
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
		if err := a.Load(); err == nil {
			t.Error("no error")
		}
		if _, ok := a.Identify([]byte("the-token-of-the-first")); !ok {
			t.Error("the previous token is unknown")
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a token was created")
	}
}

// Admin tokens and event types that cannot be read keep their previous contents.
func TestReloadOfUnreadableFiles(t *testing.T) {
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("admin tokens", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "a")
		write(file, "the-token-of-the-first")
		a, err := loadAdminTokens(Config{Settings: settings.Settings{AdminTokenFile: file}})
		if err != nil {
			t.Fatal(err)
		}
		write(file, "the-token-of-the-second")
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := a.Load(); err == nil {
			t.Error("a file that others can read is loaded")
		}
		if _, ok := a.Identify([]byte("the-token-of-the-first")); !ok {
			t.Error("the previous token is unknown")
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Load(); err != nil {
			t.Error(err)
		}
		if _, ok := a.Identify([]byte("the-token-of-the-second")); !ok {
			t.Error("the new token is unknown")
		}
	})
	t.Run("event types", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "e")
		write(file, "first: {}\n")
		types, err := loadEventTypes(Config{Settings: settings.Settings{EventTypes: file, EventTypesStrict: true}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := types.Load(); err == nil {
			t.Error("a file that is missing is loaded")
		}
		if err := types.Check("first", nil); err != nil {
			t.Errorf("the previous types are unknown: %v", err)
		}
		write(file, "second: {}\n")
		if err := types.Load(); err != nil {
			t.Error(err)
		}
		if err := types.Check("second", nil); err != nil {
			t.Errorf("the new types are unknown: %v", err)
		}
	})
}
