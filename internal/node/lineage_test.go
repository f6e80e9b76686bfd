// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
)

// A gateway that has seen more than a backup has gets resync.required, and no id is
// assigned twice.
func TestRestoredBackup(t *testing.T) {
	cfg := config(t)
	cfg.Log = settings.LogFile
	s := start(t, cfg)
	token, _ := s.gateway("g")
	kept := s.publish("g", `1`)
	s.drain()
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{kept: true}
	var lost string
	for range 2 { // restored twice, each to go its own way
		s = start(t, cfg)
		for range 5 {
			id := s.publish("g", `"lost"`)
			if given[id] {
				t.Fatalf("%s is given to two events", id)
			}
			given[id] = true
			lost = id
		}
		s.drain()
		if err := errors.Join(os.RemoveAll(cfg.DataDir), os.CopyFS(cfg.DataDir, os.DirFS(backup)), private(cfg.DataDir)); err != nil {
			t.Fatal(err)
		}
	}
	s = start(t, cfg)
	next := s.publish("g", `"new"`)
	if given[next] {
		t.Errorf("%s is given to two events", next)
	}
	if got := s.resume(token, lost).next(); got["type"] != "resync.required" || got["reason"] != "other_epoch" {
		t.Errorf("from a lost position it gets %v", got)
	}
	s.resume(token, kept).expect(next)
	for id, want := range map[string]int{kept: 200, next: 200, lost: 404} {
		if status := s.call("GET", root+"/events/"+id, "", nil); status != want {
			t.Errorf("%s: %d, want %d", id, status, want)
		}
	}
	if status := s.call("GET", root+"/events?since="+lost, "", nil); status != 400 {
		t.Errorf("listed since a lost event: %d", status)
	}
}

// private gives what was copied the modes that it had.
func private(dir string) error {
	return filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		mode := os.FileMode(0o600)
		if err == nil && info.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Chmod(path, mode))
	})
}

// NATS comes back with older files while nodes run. Live connections get
// resync.required and continue,
// ids agree and are new, and what was known of the lost events' delivery is forgotten.
func TestLogGoesBack(t *testing.T) {
	t.Parallel() // mostly waits
	n := startOneNATS(t)
	a, b := n.node("a"), n.node("b")
	token, _ := a.gateway("g")
	eventually(t, "B knows the gateway", func() bool { return b.registry.Lookup("g") != nil })
	first := a.publish("g", `1`)
	backup := filepath.Join(t.TempDir(), "backup")
	n.Stop()
	if err := os.CopyFS(backup, os.DirFS(n.Options.StoreDir)); err != nil {
		t.Fatal(err)
	}
	n.Restart()
	awaitReady(a, b)
	live := []*replica{a.resume(token, first), b.resume(token, first)}
	var lost []string
	for range 5 {
		lost = append(lost, a.publishWhenPossible("g", "k"))
	}
	for _, r := range live {
		r.expect(lost...)
	}
	eventually(t, "it is known that the events were delivered", func() bool { return a.outcome(lost[4]).Delivered == 1 })
	n.Stop()
	if err := errors.Join(os.RemoveAll(n.Options.StoreDir), os.CopyFS(n.Options.StoreDir, os.DirFS(backup))); err != nil {
		t.Fatal(err)
	}
	n.Restart()
	awaitReady(a, b)
	var next []string
	for i, s := range []*system{a, b, a, b, a} {
		next = append(next, s.publishWhenPossible("g", "k"))
		for _, id := range lost {
			if id == next[i] {
				t.Errorf("%s is given to two events", id)
			}
		}
	}
	for _, r := range live {
		if got := r.next(); got["type"] != "resync.required" || !strings.HasPrefix(first, epochOf(got["cursor"].(string))) {
			t.Errorf("a live connection gets %v", got)
		}
		r.expect(next...)
	}
	for _, s := range []*system{a, b} {
		s.resume(token, first).expect(next...)
		if got := s.resume(token, lost[4]).next(); got["reason"] != "other_epoch" { // its epoch began when the connection was first lost
			t.Errorf("from a lost position: %v", got)
		}
		if status := s.call("GET", root+"/events/"+lost[0], "", nil); status != 404 {
			t.Errorf("a lost event: %d", status)
		}
		eventually(t, "the new events are delivered", func() bool { return s.outcome(next[4]).Delivered == 1 })
	}
}

func awaitReady(nodes ...*system) {
	for _, s := range nodes {
		eventually(s.t, "the node is ready", func() bool { return s.call("GET", "/ready", "", nil) == 200 })
	}
}

func epochOf(id string) string {
	epoch, _, _ := strings.Cut(id, "-")
	return epoch
}
