// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/test/testenv"
)

// Events on the first connection of a gateway count as delivered when it resumes after them, also
// if the node was killed before it stored the position of the connection.
func TestStatusAfterImmediateKill(t *testing.T) {
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
		var receipt struct{ ID string }
		if err := p.platform.Do(t.Context(), http.MethodPost, "/events", body, http.StatusAccepted, &receipt); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, receipt.ID)
	}
	type counts struct{ Targets, Delivered, Pending int }
	status := func(id string) (c counts) {
		if err := p.platform.Do(t.Context(), http.MethodGet, "/events/"+id, nil, http.StatusOK, &c); err != nil {
			t.Fatal(err)
		}
		return c
	}

	publish() // before the first connection, which does not receive it
	publish()
	testenv.Eventually(f.t, "the second event is pending", func() bool { return status(ids[1]) == counts{Targets: 1, Pending: 1} })
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
	testenv.Eventually(f.t, "the received events count as delivered", func() bool { return status(ids[6]) == counts{Targets: 1, Delivered: 1} })
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
