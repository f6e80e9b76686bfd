// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/test/testenv/natsenv"

	"github.com/google/go-cmp/cmp"
)

// publishEach publishes one event per target and returns the ids.
func (s *system) publishEach(targets ...string) (ids []string) {
	s.t.Helper()
	for _, t := range targets {
		ids = append(ids, s.receipt(t).ID)
	}
	return ids
}

// nextText reads the next frame as it is.
func (r *replica) nextText() string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, b, err := r.Read(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// An event for an organization reaches its gateways and no others, in the order of the
// log: live, from memory, from the log, and after a restart. Gateways that are
// registered later get what is published from then on. Status and lists agree.
func TestOrganization(t *testing.T) {
	t.Parallel()                                // mostly waits
	for _, memory := range []int{64 << 20, 1} { // the window has all, and none
		t.Run(fmt.Sprint("replay memory ", memory), func(t *testing.T) {
			cfg := config(t)
			cfg.Log, cfg.ReplayMemory = settings.LogFile, memory
			s := start(t, cfg)
			const acme, other = `"organizationId":"acme","key":"a"`, `"organizationId":"other"`
			live, away := s.registerIn("acme", "live", "x"), s.registerIn("acme", "away", "acme")
			foreign, none := s.registerIn("other", "foreign", "acme"), s.registerIn("", "none", "acme")
			a, f, n := s.connect(live), s.connect(foreign), s.connect(none)
			if got := s.receipt(acme); got.Targets != 2 || got.Connected != 1 {
				t.Errorf("the receipt is %+v", got)
			}
			if got := s.receipt(`"organizationId":"nobody"`); got.Targets != 0 {
				t.Errorf("of an organization without gateways: %+v", got)
			}
			all := s.listed("live")
			ids := s.publishEach(acme, `"all":true`, other, `"group":"acme"`, acme, `"gatewayId":"away"`, acme)
			forLive := append(all, ids[0], ids[1], ids[4], ids[6])
			forAway := append(slices.Clone(all), ids[0], ids[1], ids[3], ids[4], ids[5], ids[6])
			a.expect(forLive...)
			f.expect(ids[1], ids[2], ids[3])
			n.expect(ids[1], ids[3])
			for gateway, want := range map[string][]string{"live": forLive, "away": forAway, "none": {ids[1], ids[3]}} {
				if diff := cmp.Diff(want, s.listed(gateway)); diff != "" {
					t.Errorf("listed for %s: %s", gateway, diff)
				}
			}
			eventually(t, "one of two has it", func() bool {
				return s.outcome(ids[6]) == outcomeJSON{Targets: 2, Delivered: 1, Pending: 1}
			})
			ack(t, a, ids[6])
			eventually(t, "the ack counts", func() bool { return s.outcome(ids[6]).Acked == 1 })
			ack(t, f, ids[6])
			eventually(t, "an ack of another organization does not", func() bool {
				return s.metric(`gatecast_acks_ignored_total{reason="not_for_gateway"}`) == 1
			})

			late := s.registerIn("acme", "late")
			newest := s.receipt(acme)
			if newest.Targets != 3 {
				t.Errorf("with one more gateway: %+v", newest)
			}
			if o := s.outcome(ids[6]); o.Targets != 2 {
				t.Errorf("it has become a target of an event of before: %+v", o)
			}
			from := positions(all)[0]
			check := func() {
				t.Helper()
				for token, want := range map[string][]string{late: {newest.ID}, away: append(forAway, newest.ID), live: append(forLive, newest.ID)} {
					r := s.resume(token, from)
					r.expect(want...)
					_ = r.CloseNow()
				}
				r := s.latest(away, from) // of the events with one key the newest
				r.expect(ids[1], ids[3], ids[5], newest.ID)
				_ = r.CloseNow()
			}
			check()
			s.drain()
			cfg.DataDir = s.cfg.DataDir
			s = start(t, cfg)
			check()
			if o := s.outcome(ids[6]); o.Targets != 2 || o.Acked != 1 {
				t.Errorf("after a restart: %+v", o)
			}
		})
	}
}

// A registered gateway that joins an organization gets what is published to it from then
// on, and nothing from before, wherever it resumes.
func TestOrganizationJoinedLater(t *testing.T) {
	s := start(t, config(t))
	s.registerIn("acme", "g")
	before := s.receipt(`"organizationId":"other"`).ID
	own := s.receipt(`"organizationId":"acme"`).ID
	if status := s.call("PUT", root+"/gateways/g", `{"organizationId":"other"}`, nil); status != 200 {
		t.Fatalf("PUT: %d", status)
	}
	if b := s.registry.Lookup("g").BarrierFor(event.Target{OrganizationID: "other"}); b.String() != own {
		t.Errorf("the barrier is %v, want %v", b, own)
	}
	after := s.receipt(`"organizationId":"other"`)
	all := s.receipt(`"all":true`).ID
	if after.Targets != 1 {
		t.Errorf("%+v", after)
	}
	for id, want := range map[string]int{before: 0, own: 0, after.ID: 1} {
		if o := s.outcome(id); o.Targets != want {
			t.Errorf("event %s: %+v, want %d targets", id, o, want)
		}
	}
	if got := s.listed("g"); !slices.Equal(got, []string{after.ID, all}) {
		t.Errorf("listed are %v", got)
	}
	var token struct{ Token string }
	s.call("POST", root+"/gateways/g/tokens", `{}`, &token)
	s.resume(token.Token, positions([]string{before})[0]).expect(after.ID, all)
}

// A verified gateway is in the organization that the platform named last. What was
// published before it joined, or while it was in none, is not for it, also after a
// restart.
func TestOrganizationOfVerifiedGateway(t *testing.T) {
	t.Parallel() // mostly waits
	v := newVerifier(t)
	cfg := config(t)
	cfg.VerifyURL, cfg.Log = v.URL, settings.LogFile
	s := start(t, cfg)
	const acme = `"organizationId":"acme"`
	says := func(organization string) {
		t.Helper()
		v.say("gc_token", fmt.Sprintf(`{"gatewayId":"g","organizationId":%q}`, organization))
		if status := s.call("DELETE", root+"/verified/g", "", nil); status != 204 {
			t.Fatalf("DELETE: %d", status)
		}
	}
	says("")
	from := positions([]string{s.receipt(acme).ID})[0]
	_ = s.connect("gc_token").CloseNow()
	unknown := s.receipt(acme)
	says("acme")
	r := s.connect("gc_token")
	joined := s.receipt(acme)
	r.expect(joined.ID)
	_ = r.CloseNow()
	says("")
	r = s.connect("gc_token")
	left := s.receipt(acme)
	forAll := s.receipt(`"all":true`).ID
	r.expect(forAll)
	_ = r.CloseNow()
	says("acme")
	_ = s.connect("gc_token").CloseNow()
	again := s.receipt(acme)
	if unknown.Targets != 0 || joined.Targets != 1 || left.Targets != 0 || again.Targets != 1 {
		t.Errorf("the receipts are %+v, %+v, %+v and %+v", unknown, joined, left, again)
	}
	for range 2 {
		r := s.resume("gc_token", from)
		r.expect(forAll, again.ID)
		_ = r.CloseNow()
		s.drain()
		cfg.DataDir = s.cfg.DataDir
		s = start(t, cfg)
	}
}

// Nodes that share a log agree on an organization's gateways and events, whoever
// published them.
func TestOrganizationOnSeveralNodes(t *testing.T) {
	t.Parallel() // mostly waits
	cfg := config(t)
	cfg.Log, cfg.NodeID = natsenv.Start(t).URL(), "a"
	a := start(t, cfg)
	second := config(t)
	second.Log, second.NodeID = cfg.Log, "b"
	b := start(t, second)
	one, two := a.registerIn("acme", "one"), b.registerIn("acme", "two")
	eventually(t, "both nodes know both", func() bool {
		return a.registry.Lookup("two") != nil && b.registry.Lookup("one") != nil
	})
	ra, rb := a.connect(one), b.connect(two)
	eventually(t, "both are connected everywhere", func() bool {
		for _, s := range []*system{a, b} {
			if _, connected, _ := s.registry.Reach(event.Target{OrganizationID: "acme"}); connected != 2 {
				return false
			}
		}
		return true
	})
	var ids []string
	for i := range 10 {
		s := []*system{a, b}[i%2]
		r := s.receipt(`"organizationId":"acme","fields":{"userId":"u"}`)
		if r.Targets != 2 || r.Connected != 2 {
			t.Errorf("%+v", r)
		}
		ids = append(ids, r.ID)
	}
	ra.expect(ids...)
	rb.expect(ids...)
	_ = ra.CloseNow()
	a.resume(two, ids[4]).expect(ids[5:]...)
	for _, s := range []*system{a, b} {
		eventually(t, "both nodes have the outcome", func() bool {
			return s.outcome(ids[9]) == outcomeJSON{Targets: 2, Delivered: 2}
		})
		if diff := cmp.Diff(ids, s.listed("two")); diff != "" {
			t.Error(diff)
		}
	}
}

// Envelope fields stand directly after the payload in the frame, live, from memory, from
// the log, and after a restart. They count for --max-payload.
func TestFields(t *testing.T) {
	t.Parallel()                                // mostly waits
	for _, memory := range []int{64 << 20, 1} { // the window has all, and none
		t.Run(fmt.Sprint("replay memory ", memory), func(t *testing.T) {
			cfg := config(t)
			cfg.Log, cfg.ReplayMemory, cfg.MaxPayload = settings.LogFile, memory, 8192
			s := start(t, cfg)
			token := s.registerIn("acme", "g", "x")
			r := s.connect(token)
			want := make(map[string]string) // the frame up to the timestamp, by id
			var ids []string
			for target, tail := range map[string]string{
				`"gatewayId":"g"`: `,"gatewayId":"g"`, `"gatewayIds":["g"]`: `,"gatewayId":"g"`, `"group":"x"`: ``, `"organizationId":"acme"`: ``, `"all":true`: ``,
			} {
				id := s.receipt(target + `,"payload":{"userId":1},"fields":{"userId": "ü", "organizationId":[ 1,{"id":2}],"z":null}`).ID
				ids = append(ids, id)
				want[id] = fmt.Sprintf(`{"id":%q,"type":"t","payload":{"userId":1},"userId":"ü","organizationId":[1,{"id":2}],"z":null%s,"timestamp":"`, id, tail)
			}
			check := func(r *replica) {
				t.Helper()
				for _, id := range ids {
					if got := r.nextText(); !strings.HasPrefix(got, want[id]) {
						t.Errorf("got  %s\nwant %s…", got, want[id])
					}
				}
				_ = r.CloseNow()
			}
			check(r)
			from := positions(ids)[0]
			check(s.resume(token, from))
			s.drain()
			cfg.DataDir = s.cfg.DataDir
			s = start(t, cfg)
			check(s.resume(token, from))
			var list struct {
				Events []struct {
					Fields  json.RawMessage
					Payload json.RawMessage
				}
			}
			s.call("GET", root+"/events?gatewayId=g", "", &list)
			for _, e := range list.Events {
				if got := string(e.Fields); got != `{"userId":"ü","organizationId":[1,{"id":2}],"z":null}` {
					t.Errorf("listed with the fields %s", got)
				}
			}

			// A bulk publish answers each line by itself. An event of the limit arrives.
			filler := func(n int) string { return strings.Repeat("x", n) }
			lines := `{"all":true,"type":"t","fields":{"id":1}}` + "\n" +
				`{"organizationId":"acme","type":"t","fields":{"userId":"` + filler(4083) + `"}}` + "\n" +
				`{"organizationId":"acme","type":"t","fields":{"userId":"` + filler(4084) + `"}}` + "\n" +
				`{"all":true,"type":"t","payload":"` + filler(4100) + `","fields":{"userId":"` + filler(4083) + `"}}` + "\n"
			answers := strings.Split(s.bulk(lines), "\n")
			for i, want := range []string{`"field":"fields.id"`, `"targets":1`, `"field":"fields"`, `"error":"payload_too_large"`} {
				if !strings.Contains(answers[i], want) {
					t.Errorf("line %d: %s, want %s", i+1, answers[i], want)
				}
			}
		})
	}
}
