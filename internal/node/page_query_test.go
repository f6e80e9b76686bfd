// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "testing"

func FuzzParsePageQuery(f *testing.F) {
	for _, seed := range []string{`{"limit":10}`, `{"limit":-1}`, `{"limit":1e9}`, `[]`, ``, `{"gatewayId":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := parsePageQuery(data); err == nil && (q.Limit < 0 || q.Limit > maxPageLimit) {
			t.Fatalf("%+v", q)
		}
	})
}
