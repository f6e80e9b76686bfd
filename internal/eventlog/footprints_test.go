// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What arrives while a stream is asked for its state is newer than the state, and no sign
// of another history. What was known before is.
func TestFootprintsNewerThanTheState(t *testing.T) {
	now := time.Now()
	state := &jetstream.StreamState{Msgs: 10, FirstSeq: 1, LastSeq: 10, LastTime: now}
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
			if good, bad, err := h.compareFootprints(t.Context(), state, c.known); good != c.good || bad != c.bad || err != nil {
				t.Errorf("good %d, bad %d, %v; want %d, %d", good, bad, err, c.good, c.bad)
			}
		})
	}
}
