// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
)

const (
	sumOne  = `"sha256":"1111111111111111111111111111111111111111111111111111111111111111"`
	sumTwo  = `"sha256":"2222222222222222222222222222222222222222222222222222222222222222"`
	idOne   = `"id":"11111111-1111-4111-8111-111111111111"`
	idTwo   = `"id":"22222222-2222-4222-8222-222222222222"`
	idThree = `"id":"33333333-3333-4333-8333-333333333333"`
	created = `"createdAt":"2026-01-02T03:04:05.000000006Z"`
)

// recordWith returns the JSON of a gateway with tokens.
func recordWith(tokens ...string) string {
	return fmt.Sprintf(`{"id":"a","name":"n",%s,"tokens":[%s]}`, created, strings.Join(tokens, ","))
}

func token(parts ...string) string { return "{" + strings.Join(parts, ",") + "}" }

func TestRecordRoundTrip(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	first, _ := newToken(at, time.Time{})
	second, _ := newToken(at, at.Add(time.Hour))
	want := &record{
		ID: "a", Name: "näme", OrganizationID: "org", Groups: []string{"x", "y"},
		CreatedAt: at, Tokens: []tokenRecord{first, second},
	}
	got, err := parseRecord("a", want.encode())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

// The format of stored records does not change.
func TestRecordFormat(t *testing.T) {
	got, err := parseRecord("a", []byte(`{"id":"a","name":"n","organizationId":"o","groups":["g"],`+created+`,"tokens":[`+
		token(idOne, sumOne, created, `"expiresAt":"2027-01-01T00:00:00Z"`)+`],"unknown":1}`))
	if err != nil {
		t.Fatal(err)
	}
	var sum digest
	for i := range sum {
		sum[i] = 0x11
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	want := &record{
		ID: "a", Name: "n", OrganizationID: "o", Groups: []string{"g"}, CreatedAt: at,
		Tokens: []tokenRecord{{
			ID: "11111111-1111-4111-8111-111111111111", SHA256: sum,
			CreatedAt: at, ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	tests := []struct{ name, value, says string }{
		{"nothing", "", "not the JSON of a gateway"},
		{"null", "null", "not the id of its key"},
		{"an array", "[]", "not the JSON of a gateway"},
		{"two objects", recordWith() + recordWith(), "not the JSON of a gateway"},
		{"another's id", strings.Replace(recordWith(), `"a"`, `"b"`, 1), "not the id of its key"},
		{"no name", `{"id":"a",` + created + `}`, "name: is missing"},
		{"bad group", `{"id":"a","name":"n","groups":["a b"],` + created + `}`, "groups[0]"},
		{"no creation", `{"id":"a","name":"n"}`, "createdAt"},
		{"year 10000 in UTC", `{"id":"a","name":"n","createdAt":"9999-12-31T23:59:59-01:00"}`, "createdAt"},
		{"token without id", recordWith(token(sumOne, created)), "tokens[0]: id"},
		{"token with another id", recordWith(token(`"id":"{11111111-1111-4111-8111-111111111111}"`, sumOne, created)), "tokens[0]: id"},
		{"token without digest", recordWith(token(idOne, created)), "tokens[0]: sha256: is missing"},
		{"short digest", recordWith(token(idOne, `"sha256":"11"`, created)), "64 hexadecimal digits"},
		{"digest not hexadecimal", recordWith(token(idOne, strings.ReplaceAll(sumOne, "1", "x"), created)), "64 hexadecimal digits"},
		{"token without creation", recordWith(token(idOne, sumOne)), "tokens[0]: createdAt"},
		{"expiry in another calendar", recordWith(token(idOne, sumOne, created, `"expiresAt":"9999-12-31T23:59:59-01:00"`)), "tokens[0]: expiresAt"},
		{"one id twice", recordWith(token(idOne, sumOne, created), token(idOne, sumTwo, created)), "tokens[1]: is a duplicate"},
		{"one digest twice", recordWith(token(idOne, sumOne, created), token(idTwo, sumOne, created)), "tokens[1]: is a duplicate"},
		{"three tokens", recordWith(token(idOne), token(idTwo), token(idThree)), "has 3 tokens"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseRecord("a", []byte(test.value))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v; want one that says %q", err, test.says)
			}
		})
	}
}

// A record that can be parsed can be encoded, and is then parsed as the same record.
func FuzzParseRecord(f *testing.F) {
	f.Add("a", []byte(recordWith()))
	f.Add("a", []byte(recordWith(token(idOne, sumOne, created), token(idTwo, sumTwo, created, `"expiresAt":"2027-01-01T00:00:00+02:00"`))))
	f.Add("a", []byte(`{"id":"a","name":"n","groups":["b","a","b"],"createdAt":"0001-01-01T00:00:00-01:00"}`))
	f.Add("b", []byte(`{"ID":"b","Name":"ä \u00e4","tokens":null,`+created+`}`))
	f.Fuzz(func(t *testing.T, id string, value []byte) {
		r, err := parseRecord(id, value)
		if err != nil {
			if r != nil {
				t.Fatal("a record comes with the error")
			}
			return
		}
		if r.ID != id || len(r.Tokens) > MaxTokens {
			t.Fatalf("gateway %q has the id %q and %d tokens", id, r.ID, len(r.Tokens))
		}
		again, err := parseRecord(id, r.encode())
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("error %v (-first +second):\n%s", err, diff)
		}
	})
}

func TestParseUsage(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	want := usage{uuid.NewString(): at, uuid.NewString(): at.Add(1)}
	got, err := parseUsage(want.encode())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for _, value := range []string{"", "[]", `{"a":1}`, `{"a":"0001-01-01T00:00:00Z"}`, `{"a":"2262-01-01T00:00:00Z"}`} {
		if u, err := parseUsage([]byte(value)); err == nil {
			t.Errorf("%s: %v", value, u)
		}
	}
}

// A parsed entry can be encoded, and is then parsed as the same entry.
func FuzzParseEntries(f *testing.F) {
	for _, seed := range []string{``, `{}`, `[]`, `null`, "\xff", `{"t":"2026-01-01T00:00:00Z"}`, `{"t":"0001-01-01T00:00:00Z"}`, `{"id":"g","verifiedAt":"k-1","joinedAt":{"a":"k-2"}}`, `{"id":"g","joinedAt":{"a b":"k-2"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if u, err := parseUsage(value); err == nil {
			if _, err := parseUsage(u.encode()); err != nil {
				t.Fatalf("a usage that was read cannot be read again: %v", err)
			}
		}
		rec, err := parseVerifiedRecord("g", value)
		if err != nil {
			return
		}
		if again, err := parseVerifiedRecord("g", rec.encode()); err != nil || again.barrier(nil).All != rec.barrier(nil).All {
			t.Fatalf("%s is read again as %+v, %v", value, again, err)
		}
	})
}
