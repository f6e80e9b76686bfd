// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// repeat publishes with an idempotency key, as the holder of a token.
func (s *system) repeat(token, key, body string) (status int, answer string) {
	s.t.Helper()
	req, err := http.NewRequest("POST", "http://"+s.InternalAddr().String()+root+"/events", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Idempotency-Key": {key}}
	if strings.Contains(body, "\n") {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A repeat is answered with the first receipt: by the node that gave it, by another one,
// and after a restart, although more gateways are connected by then. The node that
// answers knows nothing of the first: so it would after that one was killed with the
// event in the log and no answer given.
func TestRepeatsAreAnsweredTheSame(t *testing.T) {
	const body, lines = `{"group":"all","type":"t"}`, `{"group":"all","type":"t"}` + "\n" + `{"gatewayId":"g","type":"t"}` + "\n"
	for _, name := range []string{"another node", "after a restart"} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.Plaintext, cfg.Log = true, settings.LogFile
			if name == "another node" {
				cfg.Log, cfg.NodeID = natsenv.Start(t).URL(), "a"
			}
			a := start(t, cfg)
			token, _ := a.gateway("g", "all")
			a.gateway("h", "all")
			_, first := a.repeat(a.admin, "k", body)
			_, firstLines := a.repeat(a.admin, "k", lines)
			if !strings.Contains(first, `"targets":2,"connected":0}`) {
				t.Fatalf("answered %s", first)
			}
			tokens := filepath.Join(cfg.DataDir, "admin.token")
			if name == "another node" {
				cfg.DataDir, cfg.NodeID, cfg.AdminTokenFile = t.TempDir(), "b", tokens
			} else {
				a.drain()
			}
			b := start(t, cfg)
			b.connect(token)
			for range 2 {
				if status, got := b.repeat(b.admin, "k", body); status != 202 || got != first {
					t.Errorf("first %s\nthen %d %s", first, status, got)
				}
				if _, got := b.repeat(b.admin, "k", lines); got != firstLines {
					t.Errorf("first %s\nthen %s", firstLines, got)
				}
				if status, got := b.repeat(b.admin, "k", strings.Replace(body, "all", "al", 1)); status != 422 || !strings.Contains(got, "Idempotency-Key") {
					t.Errorf("another body: %d %s", status, got)
				}
			}
			var list struct{ Events []struct{ ID string } }
			if b.call("GET", root+"/events", "", &list); len(list.Events) != 3 {
				t.Errorf("in the log are %v", list.Events)
			}
		})
	}
}
