// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	status := func(targets, delivered, acked, failed int) string {
		return fmt.Sprintf(`{"id":"k3f9-1","targets":%d,"delivered":%d,"acked":%d,"failed":%d,"pending":%d}`,
			targets, delivered, acked, failed, targets-delivered)
	}
	for _, tt := range []struct {
		name     string
		goal     Goal
		statuses []string // of the polls
		err      error
	}{
		{"delivered", Delivered, []string{status(2, 0, 0, 0), status(2, 1, 0, 0), status(2, 2, 0, 0)}, nil},
		{"delivered, and failed", Delivered, []string{status(2, 2, 0, 1)}, nil},
		{"applied", Applied, []string{status(2, 2, 0, 0), status(2, 2, 1, 0), status(2, 2, 2, 0)}, nil},
		{"failed", Applied, []string{status(2, 1, 0, 0), status(2, 1, 0, 1)}, ErrFailed},
		{"for no gateway", Applied, []string{status(0, 0, 0, 0)}, ErrNoTargets},
		{"an error that passes", Applied, []string{"", status(1, 1, 1, 0)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, n int) {
				if tt.statuses[n] == "" {
					refuse(w, 503, "unavailable")
				}
				ok(w, tt.statuses[n])
			})
			s, err := f.client(t).Wait(t.Context(), "k3f9-1", tt.goal)
			if !errors.Is(err, tt.err) || len(f.received()) != len(tt.statuses) || s.ID != "k3f9-1" {
				t.Errorf("%+v, %v after %d polls", s, err, len(f.received()))
			}
			if w, ok := errors.AsType[*WaitError](err); (tt.err != nil) != ok || ok && w.Status.ID != s.ID {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("until the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request, n int) {
			ok(w, status(1, 0, 0, 0))
			if n == 3 {
				cancel()
			}
		})
		s, err := f.client(t).Wait(ctx, "k3f9-1", Applied)
		w, ok := errors.AsType[*WaitError](err)
		if !ok || !errors.Is(err, context.Canceled) || w.Status.Pending != 1 || s.Pending != 1 || !strings.Contains(err.Error(), "1 pending") {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("of an unknown event", func(t *testing.T) {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { refuse(w, 404, "not_found") })
		if _, err := f.client(t).Wait(t.Context(), "k3f9-1/..", Applied); err == nil || err.Error() != "not_found: no" {
			t.Errorf("%v", err)
		}
		if got := f.received()[0].path; got != "/api/internal/v1/events/k3f9-1%2F.." {
			t.Errorf("%s", got)
		}
		if _, err := f.client(t).Wait(t.Context(), "k3f9-1", "done"); err == nil {
			t.Error("an unknown goal is no error")
		}
	})
}

// Registrations are sent once. A removal is repeated, and then what is gone is done.
func TestGatewayRequests(t *testing.T) {
	unavailable := func(w http.ResponseWriter, _ *http.Request, n int) { refuse(w, 503, "unavailable") }
	f := newFake(t, unavailable)
	c := f.client(t)
	_, err := c.AddGateway(t.Context(), NewGateway{Name: "Edge", ID: "edge", Groups: []string{"prod"}})
	_, err2 := c.AddToken(t.Context(), "edge", time.Time{})
	_, err3 := c.AddToken(t.Context(), "edge", time.Date(2027, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)))
	if !Temporary(err) || !Temporary(err2) || !Temporary(err3) {
		t.Error(err, err2, err3)
	}
	var bodies []string
	for _, r := range f.received() {
		bodies = append(bodies, r.method+" "+r.path+" "+strings.TrimSpace(r.body))
	}
	want := []string{
		`POST /api/internal/v1/gateways {"name":"Edge","id":"edge","groups":["prod"]}`,
		`POST /api/internal/v1/gateways/edge/tokens {}`,
		`POST /api/internal/v1/gateways/edge/tokens {"expiresAt":"2027-01-02T02:04:05Z"}`,
	}
	if !slices.Equal(bodies, want) {
		t.Errorf("%q, want %q", bodies, want)
	}

	f = newFake(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		if n == 0 {
			cut()
		}
		refuse(w, 404, "not_found")
	})
	if err := f.client(t).RemoveGateway(t.Context(), "edge"); err != nil {
		t.Error(err)
	}
	if err := f.client(t).RevokeToken(t.Context(), "edge", "t"); err == nil { // the first attempt
		t.Error("a token that never existed is revoked")
	}
}

func TestGatewaysPages(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		switch r.FormValue("cursor") {
		case "":
			ok(w, `{"gateways":[{"id":"a"},{"id":"b"}],"cursor":"b"}`)
		case "b":
			ok(w, `{"gateways":[{"id":"c"}]}`)
		}
	})
	var got []string
	for g, err := range f.client(t).Gateways(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, g.ID)
	}
	for g := range f.client(t).Gateways(t.Context()) {
		got = append(got, g.ID)
		break
	}
	if !slices.Equal(got, []string{"a", "b", "c", "a"}) {
		t.Errorf("%v", got)
	}
}
