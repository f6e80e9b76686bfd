// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
)

// A list is fetched page by page, to its end or the limit.
func TestGatewayListPages(t *testing.T) {
	const total = 2*listPage + 17
	var limits []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			return
		}
		limits = append(limits, r.FormValue("limit"))
		limit, _ := strconv.Atoi(r.FormValue("limit"))
		from, _ := strconv.Atoi(r.FormValue("cursor"))
		var page gatewayPage
		for i := from; i < min(from+limit, total); i++ {
			page.Gateways = append(page.Gateways, json.RawMessage(fmt.Sprintf(`{"id":"g%d"}`, i)))
		}
		if from+limit < total {
			page.Cursor = strconv.Itoa(from + limit)
		}
		json.NewEncoder(w).Encode(page)
	}))
	defer s.Close()
	token := adminToken(t)
	for _, tt := range []struct {
		name   string
		args   []string
		first  int
		listed int
		cursor string
		limits []string
	}{
		{"all", nil, 0, total, "", []string{"1000", "1000", "1000"}},
		{"some", []string{"--limit", "5"}, 0, 5, "5", []string{"5"}},
		{"more than a page", []string{"--limit", "1200"}, 0, 1200, "1200", []string{"1000", "200"}},
		{"from a cursor", []string{"--cursor", "1500"}, 1500, total - 1500, "", []string{"1000"}},
		{"more than there are", []string{"--limit", "9000"}, 0, total, "", []string{"1000", "1000", "1000"}},
		{"none", []string{"--cursor", strconv.Itoa(total)}, 0, 0, "", []string{"1000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits = nil
			code, out, errs := gatecast("", append([]string{"gateway", "list", "--internal-url", s.URL, "--admin-token-file", token}, tt.args...)...)
			var got struct {
				Gateways []struct{ ID string }
				Cursor   string
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Gateways == nil {
				t.Fatalf("exit %d, %v: %s", code, err, errs)
			}
			if len(got.Gateways) != tt.listed || got.Cursor != tt.cursor || !slices.Equal(limits, tt.limits) {
				t.Errorf("%d gateways, cursor %q, by %v; want %d, %q, %v", len(got.Gateways), got.Cursor, limits, tt.listed, tt.cursor, tt.limits)
			}
			for i, g := range got.Gateways {
				if g.ID != fmt.Sprint("g", tt.first+i) {
					t.Fatalf("gateway %d is %s", i, g.ID)
				}
			}
		})
	}
}
