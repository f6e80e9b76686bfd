// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// Two nodes that share NATS import one fleet: each digest belongs to one gateway, also when
// both import it for different gateways at once. A change on one node reaches the
// connections of the other.
func TestImportOnTwoNodes(t *testing.T) {
	cfg := config(t)
	cfg.Plaintext, cfg.Log, cfg.NodeID = true, natsenv.Start(t).URL(), "a"
	a := start(t, cfg)
	cfg.DataDir, cfg.NodeID = t.TempDir(), "b"
	b := start(t, cfg)
	token := func(i int) string { return fmt.Sprintf("made-by-the-platform:%022d", i) }
	tokens := func(numbers ...int) string {
		var list []string
		for _, i := range numbers {
			list = append(list, fmt.Sprintf(`{"sha256":"%x"}`, sha256.Sum256([]byte(token(i)))))
		}
		return `"tokens":[` + strings.Join(list, ",") + `]`
	}
	const contested = 30
	statuses := [2][contested]int{}
	var both sync.WaitGroup
	for n, s := range []*system{a, b} {
		both.Go(func() {
			for i := range contested {
				statuses[n][i] = s.call("PUT", fmt.Sprintf("%s/gateways/%s-%d", root, s.cfg.NodeID, i), `{"name":"n","groups":["all"],`+tokens(i)+`}`, nil)
			}
		})
	}
	both.Wait()
	for i := range contested {
		won := a
		switch [2]int{statuses[0][i], statuses[1][i]} {
		case [2]int{201, 409}:
		case [2]int{409, 201}:
			won = b
		default:
			t.Fatalf("digest %d: %d and %d; want one 201 and one 409", i, statuses[0][i], statuses[1][i])
		}
		if i > 0 {
			continue
		}
		// The other node knows the token at once.
		other := map[*system]*system{a: b, b: a}[won]
		r := other.connect(token(i))
		id := won.cfg.NodeID + "-0"
		if r.ack["gatewayId"] != id {
			t.Fatalf("connected as %v; want %s", r.ack["gatewayId"], id)
		}
		put := func(s *system, body string, status int) {
			t.Helper()
			if got := s.call("PUT", root+"/gateways/"+id, body, nil); got != status {
				t.Errorf("PUT %s: %d; want %d", body, got, status)
			}
		}
		put(won, `{"name":"renamed"}`, 200)
		put(won, `{`+tokens(i, 1000)+`}`, 200)
		if got := other.publish(id, `1`); got == "" || r.next()["id"] != got {
			t.Error("the connection is gone after a change of the name")
		}
		put(won, `{"groups":["eu"]}`, 200)
		if code := r.closed(); code != 1000 {
			t.Errorf("another group closes with %d; want 1000", code)
		}
		again := other.connect(token(i))
		put(won, `{`+tokens(1000)+`}`, 200)
		if code := again.closed(); code != 1008 {
			t.Errorf("a token that was replaced closes with %d; want 1008", code)
		}
		eventually(t, "the other node refuses the revoked digest", func() bool {
			return other.call("PUT", root+"/gateways/"+id, `{`+tokens(i)+`}`, nil) == 409
		})
		if _, resp, err := other.dial(token(i), ""); err == nil || resp == nil || resp.StatusCode != 401 {
			t.Errorf("a revoked token connects: %v", err)
		}
		other.connect(token(1000))
	}
	var list struct{ Gateways []any }
	if a.call("GET", root+"/gateways", "", &list); len(list.Gateways) != contested {
		t.Errorf("%d gateways; want %d", len(list.Gateways), contested)
	}
}

// Imported tokens are valid after a restart from the disk, and revoked ones stay refused.
func TestImportSurvivesRestart(t *testing.T) {
	cfg := config(t)
	cfg.Plaintext, cfg.Log = true, "file"
	s := start(t, cfg)
	line := func(id, token string) string {
		return fmt.Sprintf(`{"id":%q,"name":"n","createdAt":"2021-02-03T04:05:06Z","tokens":[{"id":"t","sha256":"%x"}]}`, id, sha256.Sum256([]byte(token)))
	}
	const kept, revoked = "made-by-the-platform-kept", "made-by-the-platform-revoked"
	for id, token := range map[string]string{"kept": kept, "revoked": revoked} {
		if status := s.call("POST", root+"/gateways", line(id, token), nil); status != 201 {
			t.Fatalf("POST: %d", status)
		}
	}
	if status := s.call("DELETE", root+"/gateways/revoked/tokens/t", "", nil); status != 204 {
		t.Fatalf("DELETE: %d", status)
	}
	s.drain()
	s = start(t, cfg)
	s.connect(kept)
	if _, resp, err := s.dial(revoked, ""); err == nil || resp == nil || resp.StatusCode != 401 {
		t.Errorf("a revoked token connects: %v", err)
	}
	var g struct{ CreatedAt string }
	if s.call("GET", root+"/gateways/kept", "", &g); g.CreatedAt != "2021-02-03T04:05:06.000000000Z" {
		t.Errorf("created at %s", g.CreatedAt)
	}
	if status := s.call("PUT", root+"/gateways/revoked", line("revoked", revoked), nil); status != 409 {
		t.Errorf("a revoked digest is imported: %d", status)
	}
}
