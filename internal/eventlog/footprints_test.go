// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"math"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// A message that arrives during the request for a stream's state is newer than the state, and
// does not mean that the history has changed. One that was known before does.
func TestFootprintsNewerThanInfo(t *testing.T) {
	now := time.Now()
	info := &storage.Info{Messages: 10, First: 1, Last: 10, LastTime: now}
	for _, c := range []struct {
		name      string
		known     uint64
		good, bad uint64
	}{
		{"arrived meanwhile", 10, 10, math.MaxUint64},
		{"was known before", 12, 10, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &history{prints: footprints{{10, now.UnixNano()}, {12, now.UnixNano()}}}
			if good, bad, err := h.compareFootprints(t.Context(), info, c.known); good != c.good || bad != c.bad || err != nil {
				t.Errorf("good %d, bad %d, %v; want %d, %d", good, bad, err, c.good, c.bad)
			}
		})
	}
}
