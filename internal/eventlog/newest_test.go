// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"testing"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// Messages from the leader come in the order of the log, and end where one subject has too many:
// later messages of other subjects are left out.
func TestNewest(t *testing.T) {
	l := open(t, config{})
	for i := range 2 * maxNewest { // a, a, b, a, a, b, …
		for _, id := range []string{"a", "a", "b"} {
			ev, _ := newEvent(i)
			ev.Target = to(id)
			if _, err := l.Append(t.Context(), ev, ev.AppendBody(nil)); err != nil {
				t.Fatal(err)
			}
		}
	}
	subjects := []string{subjectPrefix + kindGateway + "a", subjectPrefix + kindGateway + "b"}
	last := l.Last().Seq
	at, rounds := l.Last().Seq-6*maxNewest, 0
	for ; at < last; rounds++ {
		upTo, err := l.newest(t.Context(), subjects, at, last, func(m storage.Message) bool {
			at++
			if m.Seq != at {
				t.Fatalf("message %d comes, want %d", m.Seq, at)
			}
			return true
		})
		if err != nil || upTo != at {
			t.Fatalf("complete up to %d, %v; %d were given", upTo, err, at)
		}
	}
	if rounds < 3 {
		t.Errorf("%d rounds: nothing was cut", rounds)
	}
}
