// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
)

// An operator's requests against the real registry: add, rotate tokens, remove.
func TestGatewayLifecycle(t *testing.T) {
	registry, err := auth.Open(t.Context(), memstore.New(), auth.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	r := start(t, func(c *Config, _ *limits) { c.Registry = registry })
	expect := func(method, path, body string, status int) (got struct {
		ID, Token, TokenID string
		Error              string
		Tokens             []struct{ ID string }
		Gateways           []struct{ ID string }
		Targets            int
	}) {
		t.Helper()
		reply := r.do(method, path, body)
		if reply.status != status {
			t.Fatalf("%s %s: %d %s, want %d", method, path, reply.status, reply.body, status)
		}
		if reply.body != "" {
			if err := json.Unmarshal([]byte(reply.body), &got); err != nil {
				t.Fatal(err)
			}
		}
		return got
	}
	const gateways = prefix + "/gateways"

	made := expect("POST", gateways, `{"name":"eu-west","groups":["eu"]}`, 201)
	if grant, ok := registry.Verify(made.Token); !ok || grant.TokenID != made.TokenID {
		t.Errorf("the token of %+v is not good", made)
	}
	path := gateways + "/" + made.ID
	expect("POST", gateways, `{"id":"`+made.ID+`","name":"again"}`, 409)
	expect("POST", gateways, `{"name":"x","groups":["a b"]}`, 422)
	expect("GET", path, "", 200)
	if list := expect("GET", gateways, "", 200).Gateways; len(list) != 1 || list[0].ID != made.ID {
		t.Errorf("the list is %v", list)
	}
	expect("POST", path+"/tokens", `{"expiresAt":"2001-01-01T00:00:00Z"}`, 422)
	second := expect("POST", path+"/tokens", `{"expiresAt":"2999-01-01T00:00:00Z"}`, 201)
	if third := expect("POST", path+"/tokens", "", 409); third.Error != codeConflict {
		t.Errorf("%+v", third)
	}
	if n := expect("POST", prefix+"/events", `{"group":"eu","type":"t"}`, 202).Targets; n != 1 {
		t.Errorf("the group has %d members", n)
	}
	expect("DELETE", path+"/tokens/"+made.TokenID, "", 204)
	if _, ok := registry.Verify(made.Token); ok {
		t.Error("a revoked token is good")
	}
	if tokens := expect("GET", path+"/tokens", "", 200).Tokens; len(tokens) != 1 || tokens[0].ID != second.ID {
		t.Errorf("the tokens are %v", tokens)
	}
	expect("DELETE", path, "", 204)
	for _, gone := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"GET", "/tokens"}, {"POST", "/tokens"}, {"DELETE", "/tokens/" + second.ID}} {
		expect(gone[0], path+gone[1], "", 404)
	}
	expect("POST", prefix+"/events", `{"gatewayId":"`+made.ID+`","type":"t"}`, 404)
}
