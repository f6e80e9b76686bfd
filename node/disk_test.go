// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"gatecast/internal/testenv"
)

// On a full disk publishers get 503 and nothing is half done; what is in the log
// goes on being delivered, also to who comes back; and when there is room again,
// all goes on by itself.
func TestFullDisk(t *testing.T) {
	cfg := config(t)
	cfg.DataDir = testenv.SmallDisk(t, "64m")
	cfg.Log = LogFile
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
