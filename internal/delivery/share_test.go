// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A gateway never exceeds its share by much. Only its own oldest messages are removed,
// and none while it is within its share.
func TestShares(t *testing.T) {
	type message struct {
		seq   uint64
		bytes int
		at    time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		const limit, retention = 1000, time.Hour
		s := newShares(limit*shareDivisor, retention)
		journal := make(map[string][]message) // what it has of each gateway
		seq, now := uint64(0), time.Unix(1000, 0)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			gateway := fmt.Sprint("g", rapid.IntRange(0, 2).Draw(t, "gateway"))
			if rapid.IntRange(0, 9).Draw(t, "step") == 0 {
				now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "minutes")) * time.Minute)
				for g, list := range journal {
					for len(list) > 0 && now.Sub(list[0].at) > retention {
						list = list[1:]
					}
					journal[g] = list
				}
				s.trim(0, now)
				continue
			}
			seq++
			m := message{seq, rapid.IntRange(1, limit/segmentsPerShare).Draw(t, "bytes"), now}
			journal[gateway] = append(journal[gateway], m)
			before := 0
			for _, m := range journal[gateway] {
				before += m.bytes
			}
			upTo, messages := s.add(gateway, m.bytes, m.seq, now)
			list, bytes := journal[gateway], before
			for len(list) > 0 && list[0].seq <= upTo {
				bytes -= list[0].bytes
				list = list[1:]
			}
			removed := len(journal[gateway]) - len(list)
			journal[gateway] = list
			switch {
			case messages < removed: // some of a segment can have expired already
				t.Fatalf("%d messages are removed and %d are counted", removed, messages)
			case bytes > limit:
				t.Fatalf("%s fills %d bytes", gateway, bytes)
			case upTo > 0 && before > limit && bytes < limit-3*limit/segmentsPerShare:
				t.Fatalf("%s is left with %d of %d bytes", gateway, bytes, before)
			case len(list) == 0:
				t.Fatalf("the newest message of %s is removed", gateway)
			}
		}
		if s.trim(seq+1, now); len(s.byGateway) > 0 {
			t.Fatalf("%d gateways have a share of an empty journal", len(s.byGateway))
		}
	})
}
