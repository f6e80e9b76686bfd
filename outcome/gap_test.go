// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package outcome

import "testing"

func TestGap(t *testing.T) {
	b := NewBook(1000)
	b.Apply(Facts{Progress: []Progress{{"g", 10, 20}, {"g", 30, 40}}})
	for _, c := range []struct {
		name    string
		gateway string
		place   uint64
		want    Progress
		ok      bool
	}{
		{"nothing known", "other", 50, Progress{}, false},
		{"before all", "g", 5, Progress{}, false},
		{"inside", "g", 15, Progress{}, false},
		{"at the end", "g", 20, Progress{}, false},
		{"between", "g", 25, Progress{"g", 20, 25}, true},
		{"at the beginning", "g", 30, Progress{"g", 20, 30}, true},
		{"behind all", "g", 42, Progress{"g", 40, 42}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := b.Gap(c.gateway, c.place); got != c.want || ok != c.ok {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}
