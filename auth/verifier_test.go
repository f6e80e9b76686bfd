// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"
)

// A platform answers a verifier without a network. Only one goroutine uses it.
type platform struct {
	says  map[string]auth.Verified
	asked int
	down  bool
}

func (p *platform) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked++
	if p.down {
		return nil, errors.New("no route to host")
	}
	b, _ := io.ReadAll(r.Body)
	var q struct{ Token string }
	_ = json.Unmarshal(b, &q)
	v, ok := p.says[q.Token]
	if !ok {
		return &http.Response{StatusCode: 401, Body: http.NoBody}, nil
	}
	answer := map[string]any{"gatewayId": v.GatewayID, "organizationId": v.OrganizationID, "groups": v.Groups}
	if !v.ExpiresAt.IsZero() {
		answer["expiresAt"] = v.ExpiresAt
	}
	text, _ := json.Marshal(answer)
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(text)))}, nil
}

// verified runs f with a node whose tokens a platform verifies, on a clock that
// moves when all is quiet.
func verified(t *testing.T, f func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant)) {
	synctest.Test(t, func(t *testing.T) {
		n := openWith(t, memstore.New(), auth.Options{External: true})
		defer n.Close()
		p := &platform{says: make(map[string]auth.Verified)}
		v := auth.NewVerifier(n.Registry, "http://platform/verify", p, func(string, time.Duration) {})
		f(t, n, p, func(token string) *auth.Grant {
			g, err := v.Verify(token)
			switch {
			case err == nil:
				return g
			case errors.Is(err, auth.ErrRefused) == errors.Is(err, auth.ErrUnreachable):
				t.Fatalf("Verify: %v", err)
			case errors.Is(err, auth.ErrUnreachable) && !p.down:
				t.Fatalf("Verify: %v", err)
			}
			return nil
		})
	})
}

func wantReason(t *testing.T, g *auth.Grant, want event.CloseReason) {
	t.Helper()
	if why, ended := g.Revoked(); !ended || why != want {
		t.Errorf("ended %v for %v, want %v", ended, why, want)
	}
}

func wantGrant(t *testing.T, got, want *auth.Grant) {
	t.Helper()
	if got != want || got == nil {
		t.Errorf("another grant")
	} else if why, ended := got.Revoked(); ended {
		t.Errorf("it ended: %v", why)
	}
}

// What the platform cached counts for a minute, and a refusal for five seconds.
func TestVerifierRemembers(t *testing.T) {
	verified(t, func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant) {
		p.says["x"] = auth.Verified{GatewayID: "g"}
		g := verify("x")
		time.Sleep(59 * time.Second)
		wantGrant(t, verify("x"), g)
		if p.asked != 1 {
			t.Errorf("asked %d times within a minute", p.asked)
		}
		time.Sleep(time.Second)
		wantGrant(t, verify("x"), g)
		if p.asked != 2 {
			t.Errorf("asked %d times after it", p.asked)
		}
		p.asked = 0
		for range 2 {
			if verify("y") != nil {
				t.Error("granted what is not known")
			}
		}
		if p.asked != 1 {
			t.Errorf("asked %d times about a refused token", p.asked)
		}
		p.says["y"] = auth.Verified{GatewayID: "h"}
		time.Sleep(5 * time.Second)
		if verify("y") == nil {
			t.Error("refused for longer than five seconds")
		}
	})
}

// A token that the platform refuses when it is asked again ends its connections,
// and one that it now gives to another gateway does.
func TestVerifierChangesItsMind(t *testing.T) {
	verified(t, func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant) {
		p.says["x"] = auth.Verified{GatewayID: "g"}
		g := verify("x")
		time.Sleep(time.Minute)
		p.says["x"] = auth.Verified{GatewayID: "h"}
		h := verify("x")
		wantReason(t, g, event.TokenRevoked)
		if h.Gateway.ID != "h" {
			t.Errorf("the gateway is %s", h.Gateway.ID)
		}
		time.Sleep(time.Minute)
		delete(p.says, "x")
		if verify("x") != nil {
			t.Error("not refused")
		}
		wantReason(t, h, event.TokenRevoked)
		if got := n.endings(h.TokenID); !slices.Equal(got, []event.CloseReason{event.TokenRevoked, event.TokenRevoked}) {
			t.Errorf("revocations %v", got) // the two had one token
		}
	})
}

// When groups change, the gateway's connections are to come back in the new ones.
func TestVerifierGroups(t *testing.T) {
	verified(t, func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant) {
		p.says["x"] = auth.Verified{GatewayID: "g", Groups: []string{"b", "a"}}
		p.says["y"] = auth.Verified{GatewayID: "g", Groups: []string{"a", "b", "a"}}
		x, y := verify("x"), verify("y")
		wantGrant(t, x, verify("x")) // the same groups
		p.says["y"] = auth.Verified{GatewayID: "g", Groups: []string{"c"}}
		time.Sleep(time.Minute)
		y2 := verify("y")
		wantReason(t, x, event.GatewayChanged)
		wantReason(t, y, event.GatewayChanged)
		wantGrant(t, y2, verify("y"))
		if x.Live != y2.Live || x.QuotaUsed != y2.QuotaUsed {
			t.Error("the gateway's connections are counted from 0 again")
		}
		for group, want := range map[string]int{"a": 0, "c": 1} {
			if got, _, _ := n.Reach(event.Target{Group: group}); got != want {
				t.Errorf("group %s has %d gateways, want %d", group, got, want)
			}
		}
	})
}

// A later expiry moves the end of a token that has connections; its end comes at
// the time.
func TestVerifierExpiry(t *testing.T) {
	verified(t, func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant) {
		say := func(in time.Duration) { p.says["x"] = auth.Verified{GatewayID: "g", ExpiresAt: n.now().Add(in)} }
		say(90 * time.Second)
		g := verify("x")
		time.Sleep(time.Minute)
		say(90 * time.Second)
		wantGrant(t, verify("x"), g)
		time.Sleep(89 * time.Second)
		wantGrant(t, g, g)
		time.Sleep(2 * time.Second)
		wantReason(t, g, event.TokenExpired)
		say(-time.Second)
		if verify("x") != nil {
			t.Error("an expired token was granted")
		}
	})
}

// A gateway that is registered too stays as it is registered; when it is removed,
// its connections end, and when one is registered, they come back as that.
func TestVerifierAndRegistry(t *testing.T) {
	verified(t, func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant) {
		n.add(t, auth.NewGateway{ID: "g", Name: "g", Groups: []string{"registered"}})
		p.says["x"] = auth.Verified{GatewayID: "g", Groups: []string{"cached"}}
		x := verify("x")
		if !slices.Equal(x.Gateway.Groups, []string{"registered"}) {
			t.Errorf("groups are %v", x.Gateway.Groups)
		}
		n.remove(t, "g")
		wantReason(t, x, event.GatewayRemoved)
		y := verify("x")
		if !slices.Equal(y.Gateway.Groups, []string{"cached"}) {
			t.Errorf("then groups are %v", y.Gateway.Groups)
		}
		n.add(t, auth.NewGateway{ID: "g", Name: "g"})
		wantReason(t, y, event.GatewayChanged)
		if verify("x") == nil {
			t.Error("not granted")
		}
	})
}

// A gateway without connections is a group's for a day; one with any, for ever.
func TestVerifierForgets(t *testing.T) {
	verified(t, func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant) {
		p.says["x"] = auth.Verified{GatewayID: "gone", Groups: []string{"a"}}
		p.says["y"] = auth.Verified{GatewayID: "here", Groups: []string{"a"}}
		p.says["z"] = auth.Verified{GatewayID: "busy", ExpiresAt: n.now().Add(time.Hour)}
		verify("x")
		y := verify("y")
		y.QuotaUsed.Add(1)
		z := verify("z")
		z.QuotaUsed.Add(1)
		reach := func() int { got, _, _ := n.Reach(event.Target{Group: "a"}); return got }
		time.Sleep(23 * time.Hour)
		wantReason(t, z, event.TokenExpired)
		if got := reach(); got != 2 {
			t.Errorf("after 23 hours there are %d", got)
		}
		time.Sleep(2 * time.Hour)
		if got := reach(); got != 1 {
			t.Errorf("after 25 hours there are %d", got)
		}
		wantGrant(t, verify("y"), y)
	})
}

// While the platform does not answer, it is asked once a second.
func TestVerifierDown(t *testing.T) {
	verified(t, func(t *testing.T, n *node, p *platform, verify func(string) *auth.Grant) {
		p.down = true
		for range 50 {
			if verify("x") != nil {
				t.Fatal("granted")
			}
		}
		if p.asked != 1 {
			t.Errorf("asked %d times in no time", p.asked)
		}
		time.Sleep(time.Second)
		p.down, p.says["x"] = false, auth.Verified{GatewayID: "g"}
		if verify("x") == nil {
			t.Error("not granted when it is back")
		}
		wantText(t, n.logged(), "cannot verify tokens", "tokens can be verified again")
	})
}
