// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A gateway never fills much more than its share, and loses only its own oldest
// messages, and none while it is within its share.
func TestShares(t *testing.T) {
	type message struct {
		seq   uint64
		bytes int
		at    time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		const limit, keep = 1000, time.Hour
		s := newShares(limit*gatewayShare, keep)
		journal := make(map[string][]message) // what it has of each gateway
		seq, now := uint64(0), time.Unix(1000, 0)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			gateway := fmt.Sprint("g", rapid.IntRange(0, 2).Draw(t, "gateway"))
			if rapid.IntRange(0, 9).Draw(t, "step") == 0 {
				now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "minutes")) * time.Minute)
				for g, list := range journal {
					for len(list) > 0 && now.Sub(list[0].at) > keep {
						list = list[1:]
					}
					journal[g] = list
				}
				s.trim(0, now)
				continue
			}
			seq++
			m := message{seq, rapid.IntRange(1, limit/sharePieces).Draw(t, "bytes"), now}
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
			gone := len(journal[gateway]) - len(list)
			journal[gateway] = list
			switch {
			case messages < gone: // of a piece, some may have been too old already
				t.Fatalf("%d messages go, and %d are counted", gone, messages)
			case bytes > limit:
				t.Fatalf("%s fills %d bytes", gateway, bytes)
			case upTo > 0 && before > limit && bytes < limit-3*limit/sharePieces:
				t.Fatalf("%s is left with %d of %d bytes", gateway, bytes, before)
			case len(list) == 0:
				t.Fatalf("the newest message of %s goes", gateway)
			}
		}
		if s.trim(seq+1, now); len(s.of) > 0 {
			t.Fatalf("%d gateways are known of an empty journal", len(s.of))
		}
	})
}
