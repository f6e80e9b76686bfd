// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/gatecast/gatecast/client"
)

// What a gateway receives on its first connection counts as delivered once it resumes
// after it, also when the node is killed before it has written down how far the
// connection has come.
func TestStatusAfterAKillAtOnce(t *testing.T) {
	p := startProcess(t, t.TempDir()+"/admin.token")
	f := newFleet(t, []*process{p}, 1)
	g := f.gateways[0]
	dial := func(since string) *client.Conn {
		c, err := client.Dial(t.Context(), client.Config{
			URL: "wss://" + p.gateways, Token: g.token, TLS: &tls.Config{InsecureSkipVerify: true}, Since: since,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var ids []string
	publish := func() {
		body := fmt.Sprintf(`{"gatewayId":%q,"type":"t","payload":%d}`, g.id, len(ids))
		status, err := p.call(t.Context(), http.MethodPost, "/events", body, func(b []byte) {
			var receipt struct{ ID string }
			_ = json.Unmarshal(b, &receipt)
			ids = append(ids, receipt.ID)
		})
		if err != nil || status != http.StatusAccepted {
			t.Fatalf("publish: %d, %v", status, err)
		}
	}
	type counts struct{ Targets, Delivered, Pending int }
	status := func(id string) (c counts) {
		if status, err := p.call(t.Context(), http.MethodGet, "/events/"+id, "", func(b []byte) { _ = json.Unmarshal(b, &c) }); err != nil || status != http.StatusOK {
			t.Fatalf("status of %s: %d, %v", id, status, err)
		}
		return c
	}

	publish() // before the first connection, which is not sent it
	publish()
	f.await("it waits", func() bool { return status(ids[1]) == counts{Targets: 1, Pending: 1} })
	c := dial("")
	for range 5 {
		publish()
	}
	for range 5 {
		if _, err := c.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.kill()
	p.start()
	dial(ids[len(ids)-1])
	f.await("what it received counts as delivered", func() bool { return status(ids[6]) == counts{Targets: 1, Delivered: 1} })
	for i, id := range ids {
		want := counts{Targets: 1, Delivered: 1}
		if i < 2 {
			want = counts{Targets: 1, Pending: 1}
		}
		if got := status(id); got != want {
			t.Errorf("event %d: %+v, want %+v", i, got, want)
		}
	}
}
