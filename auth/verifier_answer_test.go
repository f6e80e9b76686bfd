// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// answers are what a platform may say of a token. Wrong ones would give it
// something else than was meant: no expiry, no groups, another gateway.
var answers = []struct {
	text string
	want *Verified // nil: it cannot be used
}{
	{`{"gatewayId":"g"}`, &Verified{GatewayID: "g"}},
	{`{"gatewayId":"g","organizationId":null,"groups":null,"expiresAt":null,"plan":{"a":1,"a":2},"Name":"x"}`, &Verified{GatewayID: "g"}},
	{`{"gateway\u0049d":"g","groups":["a","b"],"expiresAt":"2027-01-31t12:00:00+01:00"}`, &Verified{GatewayID: "g", Groups: []string{"a", "b"}, ExpiresAt: time.Date(2027, 1, 31, 11, 0, 0, 0, time.UTC)}},
	{`{"gatewayId":"g","expiresAt":"0001-01-01T00:00:00Z"}`, &Verified{GatewayID: "g", ExpiresAt: time.Time{}.Add(1)}},
	{"\ufeff" + `{"gatewayId":"g"}`, &Verified{GatewayID: "g"}},
	{`{"gatewayId":"g","gatewayId":"h"}`, nil},
	{`{"gatewayId":"g","gateway\u0049d":"h"}`, nil},
	{`{"gatewayid":"g"}`, nil},
	{`{"gatewayId":"g","expiresat":"2027-01-31T12:00:00Z"}`, nil},
	{`{"gatewayId":"g","Groups":["a"]}`, nil},
	{`{"gatewayId":"g","expiresAt":"2027-01-31T12:00:00+24:00"}`, nil},
	{`{"gatewayId":"g","expiresAt":"2027-01-31T12:00:00,5Z"}`, nil},
	{`{"gatewayId":"g","expiresAt":1801396800}`, nil},
	{`{"gatewayId":"g","groups":"a"}`, nil},
	{`{"gatewayId":"\ud800"}`, nil},
	{"{\"gatewayId\":\"g\",\"groups\":[\"\xff\"]}", nil},
	{`{"gatewayId":7}`, nil},
	{`["g"]`, nil},
	{`{"gatewayId":"g"}{}`, nil},
	{``, nil},
}

func TestParseVerified(t *testing.T) {
	for _, a := range answers {
		got, err := parseVerified([]byte(a.text))
		if a.want == nil {
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("%s: %+v, %v", a.text, got, err)
			}
		} else if err != nil || !reflect.DeepEqual(got, a.want) {
			t.Errorf("%s: %+v, %v, want %+v", a.text, got, err, a.want)
		}
	}
}

// inside, the platform's own members may have names twice.
var inside = []json.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// FuzzParseVerified holds the reader of answers to another strict parser.
func FuzzParseVerified(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseVerified(text)
		if err != nil {
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		var other struct {
			GatewayID      string   `json:"gatewayId"`
			OrganizationID string   `json:"organizationId"`
			Groups         []string `json:"groups"`
			ExpiresAt      string   `json:"expiresAt"`
		}
		if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &other, inside...); err != nil {
			t.Fatalf("%q is taken, and is wrong: %v", text, err)
		}
		if other.GatewayID != got.GatewayID || other.OrganizationID != got.OrganizationID || strings.Join(other.Groups, " ") != strings.Join(got.Groups, " ") || got.ExpiresAt.IsZero() != (other.ExpiresAt == "") {
			t.Errorf("%q is read as %+v, want %+v", text, got, other)
		}
	})
}
