// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/test/testenv"
)

// On a full disk publishers get 503 and nothing is half done; what is in the log
// goes on being delivered, also to who comes back; and when there is room again,
// all goes on by itself.
func TestFullDisk(t *testing.T) {
	t.Parallel() // mostly waits
	cfg := config(t)
	cfg.DataDir = testenv.SmallDisk(t, "64m")
	cfg.Log = settings.LogFile
	filler := filepath.Join(cfg.DataDir, "filler")
	s := start(t, cfg)
	defer s.drain() // before the disk goes
	token, _ := s.gateway("g")
	live := s.connect(token)
	first := s.publish("g", `1`)
	second := s.publish("g", `2`)
	live.expect(first, second)

	if err := os.WriteFile(filler, make([]byte, 48<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func() int {
		return s.call(http.MethodPost, root+"/events", `{"gatewayId":"g","type":"t","payload":3}`, nil)
	}
	refused := 0
	eventually(t, "publishes are refused", func() bool {
		status := publish()
		if status == 202 { // the look at the disk may be a second old
			live.next()
			return false
		}
		refused = status
		return true
	})
	if refused != 503 {
		t.Errorf("a publish on a full disk: %d", refused)
	}
	if status := s.call(http.MethodGet, "/ready", "", nil); status != 503 {
		t.Errorf("ready on a full disk: %d", status)
	}
	back := s.resume(token, first)
	back.expect(second)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "publishes are taken again", func() bool { return publish() == 202 })
	if live.next()["payload"] != 3.0 {
		t.Error("what was taken does not arrive")
	}
}

// A node that cannot write its folder does not start, and says which it is and what
// to do.
func TestUnusableDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		says string
	}{
		{"read-only", testenv.ReadOnly, "mount it writable"},
		{"full", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 64<<20), 0o600); err == nil {
				t.Fatal("the disk has room")
			}
		}, "free some space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(t)
			cfg.DataDir = testenv.SmallDisk(t, "32m")
			cfg.Log = settings.LogFile
			start(t, cfg).drain()
			c.make(t, cfg.DataDir)
			n, err := Start(t.Context(), cfg)
			if err == nil {
				n.Drain(t.Context())
				t.Fatal("it starts")
			}
			for _, want := range []string{cfg.DataDir, c.says} {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error = %q, want one line with %q", err, want)
				}
			}
		})
	}
}

// Gateways and tokens outlast damaged events, also through the settings of a node.
func TestRepairKeepsGateways(t *testing.T) {
	cfg := config(t)
	cfg.Log = settings.LogFile
	s := start(t, cfg)
	token, _ := s.gateway("g")
	at := s.publish("g", `1`)
	s.publish("g", `2`)
	s.drain()
	block := filepath.Join(cfg.DataDir, "log/jetstream/$G/streams/gatecast_events/msgs/1.blk")
	b, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0xff
	if err := os.WriteFile(block, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "--repair") {
		if err == nil {
			n.Drain(t.Context())
		}
		t.Fatal("a damaged log: ", err)
	}
	cfg.Repair = true
	s = start(t, cfg)
	r := s.resume(token, at)
	if frame := r.next(); frame["type"] != "resync.required" {
		t.Errorf("the frame after the ack is %v", frame)
	}
	r.expect(s.publish("g", `3`))
}
