// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/test/testenv/issuer"

	"github.com/coder/websocket"
)

type claims = map[string]any

// newIssuer returns an issuer with the published key "one" and the key "two", which is not.
func newIssuer(t testing.TB) *issuer.Issuer {
	i := issuer.New(t)
	i.Add("one", "ES256")
	i.Generate("two", "EdDSA")
	return i
}

// trusts returns a change of a node's configuration: it accepts tokens of an issuer.
func trusts(i *issuer.Issuer) func(*Config) {
	ca := i.CAFile()
	return func(cfg *Config) {
		cfg.JWTKeys, cfg.JWTIssuer, cfg.JWTAudience = i.URL+"/keys?v=1", issuer.Name, issuer.Audience
		cfg.PlatformCA = ca
	}
}

func startTrusting(t testing.TB, i *issuer.Issuer) *system {
	cfg := config(t)
	trusts(i)(&cfg)
	return start(t, cfg)
}

// ended reads to the end and checks how the connection was closed.
func (r *replica) ended(code websocket.StatusCode, reason string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		_, _, err := r.Read(ctx)
		if err == nil {
			continue
		}
		e, ok := errors.AsType[websocket.CloseError](err)
		if !ok || e.Code != code || !strings.Contains(e.Reason, reason) {
			r.t.Errorf("closed with %v, want %d %s", err, code, reason)
		}
		return
	}
}

// reloads has the keys loaded, and waits until the issuer was asked.
func (s *system) reloads(i *issuer.Issuer) {
	s.t.Helper()
	before := i.Loads()
	s.Reload()
	eventually(s.t, "the keys are loaded again", func() bool { return i.Loads() > before })
}

// A signed token says which gateway it is and for which groups; other tokens are the
// registry's.
func TestJWT(t *testing.T) {
	i := newIssuer(t)
	s := startTrusting(t, i)
	if got := s.receipt(`"gatewayId":"edge"`); got.Targets != 1 || got.Connected != 0 {
		t.Errorf("an event for a gateway that was never seen: %+v", got)
	}
	token := i.Token("one", "edge", claims{"org": "acme", "groups": []string{"eu", "eu"}})
	a, b := s.connect(token), s.connect(token)
	registered, _ := s.gateway("registered", "eu")
	c := s.connect(registered)
	for _, target := range []string{`"group":"eu"`, `"all":true`} {
		got := s.receipt(target)
		if got.Targets != 2 || got.Connected != 2 {
			t.Errorf("%s: %+v", target, got)
		}
		for _, r := range []*replica{a, b, c} {
			r.expect(got.ID)
		}
	}
	id := s.publish("edge", "1")
	a.expect(id)
	b.expect(id)
	for name, token := range map[string]string{
		"of another key": i.Sign("two", claims{"kid": "one"}, claims{"sub": "edge"}),
		"expired":        i.Token("one", "edge", claims{"exp": time.Now().Unix() - 1}),
		"for others":     i.Token("one", "edge", claims{"aud": "others"}),
		"of no form":     registered + ".a.b",
		"of no gateway":  i.Token("one", "a b"),
	} {
		if status, code := s.refused(token); status != 401 || code != "unauthorized" {
			t.Errorf("a token %s: %d %s", name, status, code)
		}
	}
	for series, want := range map[string]float64{
		`gatecast_verifications_total{result="granted"}`: 1, `gatecast_verifications_total{result="remembered"}`: 1,
		`gatecast_verifications_total{result="refused"}`: 4, `gatecast_verifications_total{result="failed"}`: 0,
		`gatecast_jwt_keys`: 1, `gatecast_jwt_key_loads_total{result="loaded"}`: 1, `gatecast_jwt_key_loads_total{result="failed"}`: 0,
	} {
		if got := s.metric(series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// A new key is accepted when it is needed, and one that leaves the set ends what it signed,
// while an outage of the issuer changes nothing.
func TestJWTRotation(t *testing.T) {
	i := newIssuer(t)
	s := startTrusting(t, i)
	old := i.Token("one", "edge")
	a := s.connect(old)
	i.SetDown(true)
	s.reloads(i)
	b := s.connect(i.Token("one", "other"))
	if status, code := s.refused(i.Token("two", "edge")); status != 503 || code != "unavailable" {
		t.Errorf("an unknown key in an outage: %d %s", status, code)
	}
	i.SetDown(false)
	i.Publish("two")
	var c *replica
	eventually(t, "the new key is known", func() bool { // the load that failed was less than 5 s ago
		s.Reload()
		conn, _, err := s.dial(i.Token("two", "edge"), "")
		if err != nil {
			return false
		}
		t.Cleanup(func() { conn.CloseNow() })
		c = &replica{described: conn}
		return true
	})
	id := s.publish("edge", "1")
	a.expect(id)
	if c.next()["type"] != "connection.ack" {
		t.Error("no ack")
	}
	c.expect(id)
	i.Withdraw("one")
	s.reloads(i)
	a.ended(websocket.StatusPolicyViolation, "the token was revoked")
	b.ended(websocket.StatusPolicyViolation, "the token was revoked")
	if status, _ := s.refused(old); status != 401 {
		t.Errorf("a token of the old key: %d", status)
	}
	c.expect(s.publish("edge", "2"))
}

// At its expiry, a token's connections are closed.
func TestJWTExpires(t *testing.T) {
	i := newIssuer(t)
	s := startTrusting(t, i)
	var r *replica
	var at time.Time
	for life := 2 * time.Second; r == nil; life *= 2 { // a busy machine needs longer to connect
		at = time.Unix(time.Now().Add(life).Unix(), 0)
		switch c, _, err := s.dial(i.Token("one", "edge", claims{"exp": at.Unix()}), ""); {
		case err == nil:
			t.Cleanup(func() { c.CloseNow() })
			r = &replica{described: c}
		case life > time.Minute:
			t.Fatal(err)
		}
	}
	if r.ended(websocket.StatusPolicyViolation, "the token has expired"); time.Now().Before(at) {
		t.Errorf("closed %v before its time", time.Until(at))
	}
}

// DELETE /verified revokes the tokens issued until then, also across a restart.
func TestJWTRevoked(t *testing.T) {
	i := newIssuer(t)
	cfg := config(t)
	trusts(i)(&cfg)
	cfg.Log = settings.LogFile
	s := start(t, cfg)
	now := time.Now()
	token, unseen := i.Token("one", "edge"), i.Token("one", "edge", claims{"iat": now.Unix() - 1})
	gone, stays := s.connect(token), s.connect(i.Token("one", "other"))
	if status := s.call("DELETE", root+"/verified/edge", "", nil); status != 204 {
		t.Fatalf("DELETE: %d", status)
	}
	gone.ended(websocket.StatusPolicyViolation, "the token was revoked")
	stays.expect(s.publish("other", "1"))
	refuses := func() {
		t.Helper()
		for name, token := range map[string]string{"the same": token, "an older one": unseen, "one of no date": i.Token("one", "edge", claims{"iat": nil})} {
			if status, _ := s.refused(token); status != 401 {
				t.Errorf("%s: %d", name, status)
			}
		}
	}
	refuses()
	stays.CloseNow()
	s.drain()
	s = start(t, cfg)
	refuses()
	s.connect(i.Token("one", "edge", claims{"iat": now.Unix() + 20}))
}

// A node without keys is not ready, and answers 503 to signed tokens only.
func TestJWTWithoutKeys(t *testing.T) {
	i := newIssuer(t)
	i.SetDown(true)
	s := startTrusting(t, i)
	ready := func() int { return s.call("GET", "/ready", "", nil) }
	if status := ready(); status != 503 {
		t.Errorf("/ready: %d", status)
	}
	token, _ := s.gateway("registered")
	s.connect(token)
	if status, code := s.refused(i.Token("one", "edge")); status != 503 || code != "unavailable" {
		t.Errorf("%d %s", status, code)
	}
	i.SetDown(false)
	s.Reload()
	eventually(t, "the node is ready", func() bool { return ready() == 200 })
	s.connect(i.Token("one", "edge"))
}

// With a platform that verifies tokens, signed ones are not sent to it.
func TestJWTBesideVerifyURL(t *testing.T) {
	i := newIssuer(t)
	v := newVerifier(t)
	v.say("gc_good", `{"gatewayId":"opaque"}`)
	v.every = `{"gatewayId":"edge"}`
	cfg := config(t)
	trusts(i)(&cfg)
	cfg.VerifyURL = v.URL
	s := start(t, cfg)
	signed, bad := i.Token("one", "edge"), i.Sign("two", claims{"kid": "one"}, claims{"sub": "edge"})
	s.connect(signed)
	s.connect("gc_good")
	if status, _ := s.refused(bad); status != 401 {
		t.Errorf("%d", status)
	}
	if v.times(signed)+v.times(bad) != 0 || v.times("gc_good") != 1 {
		t.Error("the platform was asked about a signed token")
	}
}

// A file that cannot be used ends the start with the setting's name.
func TestJWTFile(t *testing.T) {
	i := newIssuer(t)
	cfg := config(t)
	trusts(i)(&cfg)
	cfg.PlatformCA = ""
	cfg.JWTKeys = filepath.Join(t.TempDir(), "keys.json")
	n, err := Start(t.Context(), cfg)
	if e, ok := errors.AsType[*settings.Error](err); !ok || e.Setting != "jwt-keys" {
		t.Fatalf("Start: %v, %v", n, err)
	}
	if err := os.WriteFile(cfg.JWTKeys, i.KeySet(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, cfg)
	r := s.connect(i.Token("one", "edge"))
	i.Publish("two")
	i.Withdraw("one")
	if err := os.WriteFile(cfg.JWTKeys, i.KeySet(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Reload()
	r.ended(websocket.StatusPolicyViolation, "the token was revoked")
	s.connect(i.Token("two", "edge"))
}

// On nodes that share a log, the newest token decides the groups everywhere, and a
// revocation on one counts on all.
func TestJWTOnSeveralNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three NATS servers")
	}
	i := newIssuer(t)
	c := startNATS(t)
	a, b := c.node("a", trusts(i)), c.node("b", trusts(i))
	now := time.Now().Unix()
	old := i.Token("one", "edge", claims{"iat": now - 20, "groups": []string{"x"}})
	fresh := i.Token("one", "edge", claims{"iat": now - 10, "groups": []string{"y"}})
	first := a.connect(old)
	second := b.connect(fresh)
	first.ended(websocket.StatusNormalClosure, "groups have changed")
	first = a.connect(old) // a replay does not bring the old groups back
	for _, s := range []*system{a, b} {
		eventually(t, "both nodes know the gateway's groups and connections", func() bool {
			old, _, _ := s.registry.Reach(event.Target{Group: "x"})
			targets, connected, _ := s.registry.Reach(event.Target{Group: "y"})
			return old == 0 && targets == 1 && connected == 1
		})
	}
	got := a.receipt(`"group":"y"`)
	first.expect(got.ID)
	second.expect(got.ID)

	eventually(t, "both nodes have revoked the tokens", func() bool {
		return b.call("DELETE", root+"/verified/edge", "", nil) == http.StatusNoContent
	})
	for _, s := range []*system{a, b} {
		for _, token := range []string{old, fresh} {
			if status, _ := s.refused(token); status != 401 {
				t.Errorf("on %s: %d", s.cfg.NodeID, status)
			}
		}
	}
	first.ended(websocket.StatusPolicyViolation, "the token was revoked")
	second.ended(websocket.StatusPolicyViolation, "the token was revoked")
	a.connect(i.Token("one", "edge", claims{"iat": time.Now().Unix() + 20}))
}
