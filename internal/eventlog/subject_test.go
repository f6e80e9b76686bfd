// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

var names = rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`)

var targets = rapid.Custom(func(t *rapid.T) event.Target {
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return event.Target{All: true}
	case 1:
		return event.Target{Group: names.Draw(t, "group")}
	case 2:
		return event.Target{OrganizationID: names.Draw(t, "organization")}
	default:
		return event.Target{GatewayIDs: rapid.SliceOfNDistinct(names, 1, 20, rapid.ID[string]).Draw(t, "ids")}
	}
})

func TestAddressRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := &event.Event{Target: targets.Draw(t, "target"), Key: rapid.StringN(-1, event.MaxKeyLen, -1).Draw(t, "key")}
		subject, header, err := address(ev)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(subject, subjectPrefix) || strings.ContainsAny(subject, " *>") {
			t.Fatalf("subject %q", subject)
		}
		got, err := target(subject, header)
		if err != nil || !reflect.DeepEqual(got, ev.Target) {
			t.Fatalf("target %+v came back as %+v, error %v", ev.Target, got, err)
		}
		if key, err := decodeKey(header.Get(headerKey)); err != nil || key != ev.Key {
			t.Fatalf("key %q came back as %q, error %v", ev.Key, key, err)
		}
		if _, one := ev.Target.Single(); one && ev.Key == "" && header != nil {
			t.Fatalf("a plain event has the header %v", header)
		}
	})
}

func TestTargetRefuses(t *testing.T) {
	cases := []struct {
		name, subject string
		header        storage.Header
	}{
		{"other subject", "other.event.all", nil},
		{"nothing", subjectPrefix, nil},
		{"no id", subjectPrefix + "gateway.", nil},
		{"two ids", subjectPrefix + "gateway.a.b", nil},
		{"no group", subjectPrefix + "group.", nil},
		{"no organization", subjectPrefix + "organization.", nil},
		{"two organizations", subjectPrefix + "organization.a.b", nil},
		{"more than all", subjectPrefix + "all.x", nil},
		{"a list without header", subjectPrefix + "gateways", nil},
		{"a list of one", subjectPrefix + "gateways", storage.Header{headerGateways: {"a"}}},
		{"a list with an id that is none", subjectPrefix + "gateways", storage.Header{headerGateways: {"a,b c"}}},
		{"a list with an empty id", subjectPrefix + "gateways", storage.Header{headerGateways: {"a,,b"}}},
		{"a list with an id twice", subjectPrefix + "gateways", storage.Header{headerGateways: {"a,b,a"}}},
		{"a list that is too long", subjectPrefix + "gateways", storage.Header{headerGateways: {strings.Repeat("a,", event.MaxGatewayIDs) + "b"}}},
		{"an empty list", subjectPrefix + "gateways", storage.Header{headerGateways: {""}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, err := target(c.subject, c.header); err == nil {
				t.Errorf("is for %+v", got)
			}
		})
	}
}

// A message's subject and header are those of an event's target and key, or are refused. An
// accepted event can be published again with the same subject.
func FuzzTarget(f *testing.F) {
	f.Add(subjectPrefix+"all", "", "")
	f.Add(subjectPrefix+"gateway.edge", "", "key")
	f.Add(subjectPrefix+"group.g", "", "=a2V5")
	f.Add(subjectPrefix+"organization.o", "", "")
	f.Add(subjectPrefix+"gateways", "a,b", "=!")
	f.Add("gatecast.event.", "a,a", "\xff")
	f.Fuzz(func(t *testing.T, subject, gateways, coded string) {
		header := storage.Header{headerGateways: {gateways}, headerKey: {coded}}
		to, err := target(subject, header)
		if err != nil {
			return
		}
		key, err := decodeKey(header.Get(headerKey))
		if err != nil {
			return
		}
		again, header, err := address(&event.Event{Target: to, Key: key})
		if err != nil || again != subject {
			t.Fatalf("%q is read as %+v, whose subject is %q, %v", subject, to, again, err)
		}
		if back, err := target(again, header); err != nil || !reflect.DeepEqual(back, to) {
			t.Fatalf("%+v comes back as %+v, %v", to, back, err)
		}
		if back, err := decodeKey(header.Get(headerKey)); err != nil || back != key {
			t.Fatalf("%q comes back as %q, %v", key, back, err)
		}
	})
}
