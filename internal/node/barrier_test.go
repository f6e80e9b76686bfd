// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"

	"github.com/coder/websocket"
)

// registerIn registers a gateway in an organization and returns its token.
func (s *system) registerIn(organization, id string, groups ...string) string {
	s.t.Helper()
	names, _ := json.Marshal(append([]string{}, groups...))
	body := fmt.Sprintf(`{"id":%q,"name":"n","organizationId":%q,"groups":%s}`, id, organization, names)
	var answer struct{ Token string }
	if status := s.call("POST", root+"/gateways", body, &answer); status != 201 {
		s.t.Fatalf("POST /gateways: %d", status)
	}
	return answer.Token
}

// everyTarget publishes an event to the gateway, one to each group and one to all, and
// returns the ids.
func (s *system) everyTarget(gateway string, groups ...string) (ids []string) {
	s.t.Helper()
	ids = append(ids, s.receipt(fmt.Sprintf(`"key":"own","gatewayId":%q`, gateway)).ID)
	for _, g := range groups {
		ids = append(ids, s.receipt(fmt.Sprintf(`"key":"of %s","group":%q`, g, g)).ID)
	}
	return append(ids, s.receipt(`"key":"all","all":true`).ID)
}

// latest is resume of a gateway that wants the newest event of each key.
func (s *system) latest(token, since string) *replica {
	s.t.Helper()
	s.logs.Hide("a gateway's token", token)
	c, _, err := websocket.Dial(s.t.Context(), s.url(), &websocket.DialOptions{
		HTTPHeader: http.Header{"api-key": {token}, "Last-Event-ID": {since}, "Replay": {"latest"}},
		HTTPClient: &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, KeyLogWriter: s.logs.KeyLog()},
			DisableKeepAlives: true,
		}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.CloseNow() })
	r := &replica{described: described{c, s.t}}
	r.ack = r.next()
	return r
}

// listed returns the ids of a gateway's retained events.
func (s *system) listed(gateway string) (ids []string) {
	s.t.Helper()
	var list struct{ Events []struct{ ID string } }
	// 503 is allowed on a busy machine: NATS took too long.
	eventually(s.t, "the events are listed", func() bool {
		list.Events = nil
		return s.call("GET", root+"/events?gatewayId="+gateway, "", &list) == 200
	})
	for _, e := range list.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

// positions returns the position before the first event, and those of events.
func positions(events []string) []string {
	epoch, _, _ := strings.Cut(events[0], "-")
	return append([]string{epoch + "-0"}, events...)
}

// resumesWith checks that a gateway which names any of some positions gets these
// events and then a live one.
func (s *system) resumesWith(token, gateway string, from []string, want ...string) {
	s.t.Helper()
	var replicas []*replica
	for _, since := range from {
		for _, connect := range []func(string, string) *replica{s.resume, s.latest} {
			r := connect(token, since)
			if r.ack["resumed"] != true {
				s.t.Errorf("from %s: %v", since, r.ack)
			}
			r.expect(want...)
			replicas = append(replicas, r)
		}
	}
	live := s.receipt(fmt.Sprintf(`"gatewayId":%q`, gateway)).ID
	for _, r := range replicas {
		r.expect(live)
		_ = r.CloseNow()
	}
}

// A gateway whose id was another's gets nothing of that one's, nor of groups and all
// from before it was registered: by no position, from memory or from the log, before
// and after a restart. Nothing of that counts as delivered to it either.
func TestRegistrationIsABarrier(t *testing.T) {
	t.Parallel()                                // mostly waits
	for _, memory := range []int{64 << 20, 1} { // the window has all, and none
		t.Run(fmt.Sprint("replay memory ", memory), func(t *testing.T) {
			cfg := config(t)
			cfg.Log, cfg.ReplayMemory = settings.LogFile, memory
			s := start(t, cfg)
			first := s.connect(s.registerIn("acme", "g", "x"))
			s.registerIn("acme", "stays", "x")
			before := s.everyTarget("g", "x")
			first.expect(before...)
			ack(t, first, before[0])
			eventually(t, "the answer is known", func() bool { return s.outcome(before[0]).Acked == 1 })
			s.call("DELETE", root+"/gateways/g", "", nil)
			if code := first.closed(); code != websocket.StatusPolicyViolation {
				t.Errorf("closed with %d", code)
			}
			before = append(before, s.receipt(`"group":"x"`).ID)

			token := s.registerIn("other", "g", "x")
			after := s.everyTarget("g", "x")
			s.resumesWith(token, "g", positions(before), after...)
			s.resumesWith(token, "g", after[2:3], s.listed("g")[3]) // the live one of before
			if got := s.listed("g"); !slices.Equal(got[:3], after) {
				t.Errorf("listed are %v, want %v first", got, after)
			}
			for i, want := range []outcomeJSON{{}, {Targets: 1, Pending: 1}, {Targets: 1, Pending: 1}} {
				if got := s.outcome(before[i]); got != want {
					t.Errorf("of the event %d of before: %+v, want %+v", i, got, want)
				}
			}
			eventually(t, "the new one's events count", func() bool {
				return s.outcome(after[0]) == outcomeJSON{Targets: 1, Delivered: 1} && s.outcome(after[1]) == outcomeJSON{Targets: 2, Delivered: 1, Pending: 1}
			})

			all := s.listed("g")
			s.drain()
			cfg.DataDir = s.cfg.DataDir
			s = start(t, cfg)
			for _, since := range positions(before) {
				r := s.resume(token, since)
				r.expect(all...)
				_ = r.CloseNow()
			}
			if got := s.outcome(before[0]); got != (outcomeJSON{}) {
				t.Errorf("after a restart: %+v", got)
			}
		})
	}
}

// A gateway registered by a version that kept no barrier resumes as it did.
func TestNoBarrierIsKnown(t *testing.T) {
	s := start(t, config(t))
	early := s.receipt(`"all":true`).ID
	token := s.registerIn("acme", "g", "x")
	value, revision := registryEntry(t, s, "gateway.g")
	start, rest, ok := strings.Cut(value, `,"registeredAt":"`)
	_, rest, found := strings.Cut(rest, `"`)
	if !ok || !found {
		t.Fatalf("the record is %s", value)
	}
	setRegistryEntry(t, s, "gateway.g", start+rest, revision)
	eventually(t, "the record is known", func() bool { return s.registry.Lookup("g").Barrier.Own.IsZero() })
	late := s.receipt(`"gatewayId":"g"`).ID
	s.resume(token, positions([]string{early})[0]).expect(early, late)
	if o := s.outcome(early); o.Targets != 0 {
		t.Errorf("an event of before the registration has %d targets", o.Targets)
	}
	if o := s.outcome(late); o.Targets != 1 {
		t.Errorf("one of after it has %d", o.Targets)
	}
}

// registryEntry returns what the registry's bucket has under a key.
func registryEntry(t *testing.T, s *system, key string) (string, uint64) {
	t.Helper()
	b, err := s.store.Bucket(t.Context(), registryBucket)
	if err != nil {
		t.Fatal(err)
	}
	value, revision, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(value), revision
}

func setRegistryEntry(t *testing.T, s *system, key, value string, revision uint64) {
	t.Helper()
	b, err := s.store.Bucket(t.Context(), registryBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Update(t.Context(), key, []byte(value), revision); err != nil {
		t.Fatal(err)
	}
}

// Of a gateway that the platform verifies, events that name it are its own from the
// first one on; those of groups and all from its first verification on, which a
// restart does not forget; those of a group that it joins later from then on; and all
// of them from then on when it moves to another organization.
func TestVerificationIsABarrier(t *testing.T) {
	t.Parallel() // mostly waits
	v := newVerifier(t)
	v.say("gc_good", `{"gatewayId":"g","organizationId":"acme","groups":["x"]}`)
	cfg := config(t)
	cfg.VerifyURL, cfg.Log = v.URL, settings.LogFile
	s := start(t, cfg)
	before := s.everyTarget("g", "x", "y")
	if o := s.outcome(before[0]); o.Targets != 1 {
		t.Errorf("before it was verified: %+v", o)
	}
	start0 := positions(before)[0]
	r := s.resume("gc_good", start0)
	r.expect(before[0])
	eventually(t, "the event counts as delivered", func() bool {
		return s.outcome(before[0]) == outcomeJSON{Targets: 1, Delivered: 1}
	})
	for i := 1; i < len(before); i++ {
		if o := s.outcome(before[i]); o.Targets != 0 {
			t.Errorf("event %d of before the verification: %+v", i, o)
		}
	}
	after := s.everyTarget("g", "x", "y")
	mine := []string{before[0], after[0], after[1], after[3]} // without the group y
	r.expect(mine[1:]...)
	_ = r.CloseNow()

	again := func() {
		s.drain()
		cfg.DataDir = s.cfg.DataDir
		s = start(t, cfg)
	}
	again()
	r = s.resume("gc_good", start0)
	r.expect(mine...)

	// It joins y, which another connection finds out.
	v.say("gc_new", `{"gatewayId":"g","organizationId":"acme","groups":["x","y"]}`)
	other := s.resume("gc_new", start0)
	other.expect(mine...)
	if code := r.closed(); code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	joined := s.everyTarget("g", "x", "y")
	other.expect(joined...)
	mine = append(mine, joined...)
	again()
	v.say("gc_good", `{"gatewayId":"g","groups":["y","x"]}`) // which names no organization
	s.resume("gc_good", start0).expect(mine...)
	s.latest("gc_good", start0).expect(joined...) // the newest of each key
	if got := s.listed("g"); !slices.Equal(got, mine) {
		t.Errorf("listed are %v, want %v", got, mine)
	}

	// It moves.
	v.say("gc_moved", `{"gatewayId":"g","organizationId":"other","groups":["y","x"]}`)
	moved := s.resume("gc_moved", start0)
	last := s.everyTarget("g", "x", "y")
	moved.expect(last...)
	for _, since := range []string{start0, before[0], joined[1]} {
		s.resume("gc_moved", since).expect(last...)
	}
	if o := s.outcome(joined[0]); o.Targets != 0 {
		t.Errorf("an event of the other organization's: %+v", o)
	}
}

// The barrier is the log's position and not what one node has seen of it, and holds on
// every node.
func TestBarrierOnSeveralNodes(t *testing.T) {
	t.Parallel() // mostly waits
	if testing.Short() {
		t.Skip("starts three NATS servers")
	}
	c := startNATS(t)
	a, b := c.node("a"), c.node("b", func(cfg *Config) { cfg.ReplayMemory = 1 })
	a.registerIn("acme", "stays", "x")
	for range 5 {
		old := a.registerIn("acme", "g", "x")
		var before []string
		for range 10 {
			before = append(before, a.everyTarget("g", "x")...)
		}
		eventually(t, "B knows the gateway", func() bool { return b.registry.Lookup("g") != nil })
		first := a.connect(old)
		if status := a.call("DELETE", root+"/gateways/g", "", nil); status != 204 {
			t.Fatalf("DELETE: %d", status)
		}
		if code := first.closed(); code != websocket.StatusPolicyViolation {
			t.Errorf("closed with %d", code)
		}
		eventually(t, "B knows that it is gone", func() bool { return b.registry.Lookup("g") == nil })
		// What B has not seen of this when it registers the gateway is before it too.
		for range 10 {
			before = append(before, a.everyTarget("stays", "x")...)
		}
		token := b.registerIn("other", "g", "x")
		replicas := []*replica{b.connect(token), b.resume(token, before[0])}
		eventually(t, "A knows the gateway", func() bool { return a.registry.Lookup("g") != nil })
		replicas = append(replicas, a.resume(token, before[0]), a.latest(token, positions(before)[0]))
		after := a.everyTarget("g", "x")
		for _, r := range append(replicas, b.latest(token, before[1])) {
			r.expect(after...)
			_ = r.CloseNow()
		}
		for _, s := range []*system{a, b} {
			if got := s.listed("g"); !slices.Equal(got, after) {
				t.Errorf("on %s, listed are %v, want %v", s.cfg.NodeID, got, after)
			}
			for id, want := range map[string]int{before[0]: 0, before[1]: 1, after[0]: 1, after[1]: 2} {
				if o := s.outcome(id); o.Targets != want {
					t.Errorf("on %s, %s has %d targets, want %d", s.cfg.NodeID, id, o.Targets, want)
				}
			}
		}
		if status := a.call("DELETE", root+"/gateways/g", "", nil); status != 204 {
			t.Fatalf("DELETE: %d", status)
		}
		eventually(t, "both nodes know that it is gone", func() bool {
			return a.registry.Lookup("g") == nil && b.registry.Lookup("g") == nil
		})
	}
}

// A barrier outlives the epoch that it was taken in: after a power cut, and after a
// repair, the earlier gateway's events stay closed.
func TestBarrierOutlivesItsEpoch(t *testing.T) {
	t.Parallel() // mostly waits
	cfg := config(t)
	cfg.Log = settings.LogFile
	s := start(t, cfg)
	s.registerIn("acme", "g", "x")
	before := s.everyTarget("g", "x")
	s.call("DELETE", root+"/gateways/g", "", nil)
	token := s.registerIn("other", "g", "x")
	after := s.everyTarget("g", "x")
	cfg.DataDir = s.cfg.DataDir
	for range 2 {
		s.drain()
		notClosed(t, cfg.DataDir)
		s = start(t, cfg)
		now := s.connect(token)
		epoch, _, _ := strings.Cut(now.ack["cursor"].(string), "-")
		for _, since := range []string{epoch + "-0", epoch + "-1", before[0], after[0]} {
			r := s.resume(token, since)
			// It can get resync.required at any event.
			for live := s.receipt(`"gatewayId":"g"`).ID; ; {
				frame := r.next()
				if id, isEvent := frame["id"].(string); isEvent && slices.Contains(before, id) {
					t.Errorf("from %s it gets %v", since, frame)
				}
				if frame["id"] == live || frame["type"] == "resync.required" {
					break
				}
			}
			_ = r.CloseNow()
		}
		listed := s.listed("g")
		if !slices.Equal(listed[:len(after)], after) {
			t.Errorf("listed are %v, want %v first", listed, after)
		}
	}
}

// notClosed makes a data folder look as after a power cut.
func notClosed(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "log", "life.json")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var life map[string]any
	if err := json.Unmarshal(b, &life); err != nil {
		t.Fatal(err)
	}
	life["closed"], life["boot"] = false, "another"
	if b, err = json.Marshal(life); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
