// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
)

func TestLedger(t *testing.T) {
	l := newLedger()
	at := func(seq uint64) event.Cursor { return event.Cursor{Epoch: 7, Seq: seq} }
	for i, gateway := range []int64{1, 2, 0, 1, 0, 2} {
		l.enter(gateway, entry{n: int64(i) + 1, cursor: at(uint64(i) + 101)})
	}
	for _, tt := range []struct {
		name    string
		gateway int64
		cursor  event.Cursor
		want    []int64
	}{
		{"from the start", 1, at(100), []int64{1, 3, 4, 5}},
		{"another's", 2, at(100), []int64{2, 3, 5, 6}},
		{"of a gateway without events of its own", 3, at(100), []int64{3, 5}},
		{"after an event of its own", 1, at(101), []int64{3, 4, 5}},
		{"after an event of another gateway", 1, at(102), []int64{3, 4, 5}},
		{"after an event to all", 1, at(103), []int64{4, 5}},
		{"after the last event", 2, at(106), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := l.after(tt.gateway, tt.cursor); !slices.Equal(got, tt.want) {
				t.Errorf("%v; want %v", got, tt.want)
			}
		})
	}
}
