// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"testing"
)

func TestShareOf(t *testing.T) {
	gateways := make([]gateway, 5)
	for i := range gateways {
		gateways[i].number = int64(i) + 1
	}
	for _, tt := range []struct {
		publishers int
		want       [][]int64
	}{
		{1, [][]int64{{1, 2, 3, 4, 5}}},
		{2, [][]int64{{1, 3, 5}, {2, 4}}},
		{5, [][]int64{{1}, {2}, {3}, {4}, {5}}},
	} {
		for k, want := range tt.want {
			var got []int64
			for _, g := range shareOf(gateways, k, tt.publishers) {
				got = append(got, g.number)
			}
			if !slices.Equal(got, want) {
				t.Errorf("share %d of %d: gateways %v; want %v", k, tt.publishers, got, want)
			}
		}
	}
}
