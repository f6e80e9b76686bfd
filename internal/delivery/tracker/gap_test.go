// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestGap(t *testing.T) {
	spans := []Progress{{"g", 10, 20}, {"g", 30, 40}}
	for _, c := range []struct {
		name    string
		known   []Progress
		gateway string
		seq     uint64
		want    Progress
		ok      bool
	}{
		{"nothing known", spans, "other", 50, Progress{}, false},
		{"before all", spans, "g", 5, Progress{}, false},
		{"inside", spans, "g", 15, Progress{}, false},
		{"at the end", spans, "g", 20, Progress{}, false},
		{"between", spans, "g", 25, Progress{"g", 20, 25}, true},
		{"where a connection began that has received since", spans, "g", 30, Progress{}, false},
		{"after all", spans, "g", 42, Progress{"g", 40, 42}, true},

		{"of a first connection that was not reported", []Progress{{"g", 10, 10}}, "g", 15, Progress{"g", 10, 15}, true},
		{"before a first connection", []Progress{{"g", 10, 10}}, "g", 5, Progress{}, false},
		{"where a connection began that skipped events", []Progress{{"g", 1, 2}, {"g", 9, 9}}, "g", 9, Progress{"g", 9, 9}, false},
		{"after a connection that skipped events", []Progress{{"g", 1, 2}, {"g", 9, 9}}, "g", 12, Progress{"g", 9, 12}, true},
		{"before a connection that skipped events", []Progress{{"g", 1, 2}, {"g", 9, 9}}, "g", 7, Progress{"g", 2, 7}, true},
		{"of replicas, the one that began last", []Progress{{"g", 3, 3}, {"g", 9, 9}}, "g", 12, Progress{"g", 9, 12}, true},
		{"of replicas, between their starts", []Progress{{"g", 3, 3}, {"g", 9, 9}}, "g", 8, Progress{"g", 3, 8}, true},
		{"a start inside a span changes nothing", []Progress{{"g", 1, 20}, {"g", 9, 9}}, "g", 25, Progress{"g", 20, 25}, true},
		{"a span reaches a start", []Progress{{"g", 9, 9}, {"g", 9, 20}}, "g", 25, Progress{"g", 20, 25}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(1000)
			b.Apply(Updates{Progress: c.known})
			if got, ok := b.Gap(c.gateway, c.seq); ok != c.ok || ok && got != c.want {
				t.Errorf("%+v, %v; want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// If there are more starts than are stored, the oldest are dropped. No gap is filled
// before those that are left.
func TestGapAfterManyStarts(t *testing.T) {
	b := New(1000)
	for seq := uint64(10); seq <= 200; seq += 10 {
		b.Apply(Updates{Progress: []Progress{{"g", seq, seq}}})
	}
	if got, ok := b.Gap("g", 55); ok {
		t.Errorf("before the starts that are kept: %+v", got)
	}
	if got, ok := b.Gap("g", 155); !ok || got.From != 150 {
		t.Errorf("between starts that are kept: %+v, %v", got, ok)
	}
	if b.size != maxStarts || b.size != count(b) {
		t.Errorf("size is %d and %d are stored, want %d", b.size, count(b), maxStarts)
	}
}

// A gap never contains an event that the gateway was not sent. Connections begin
// anywhere, receive, end, and resume; any part of what they received can be unreported.
func TestGapHasNoUnsentEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type connection struct {
			began, at uint64 // at is its position; what is after began is not reported
		}
		b, end := New(1000), uint64(0)
		var open, ended []*connection
		sent := make(map[uint64]bool) // to any connection
		start := func(c *connection) {
			if !b.HasStart("g", c.at) {
				b.Apply(Updates{Progress: []Progress{{"g", c.at, c.at}}})
			}
			open = append(open, c)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0: // an event, which every open connection is sent
				end++
				for _, c := range open {
					sent[end] = true
					c.at = end
				}
			case 1: // a connection without a position
				start(&connection{began: end, at: end})
			case 2: // a report of one
				if len(open) > 0 {
					c := rapid.SampledFrom(open).Draw(t, "reported")
					if c.began < c.at {
						b.Apply(Updates{Progress: []Progress{{"g", c.began, c.at}}})
						c.began = c.at
					}
				}
			case 3: // one ends, and what it received last may never be reported
				if len(open) > 0 {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "ended")
					ended = append(ended, open[i])
					open = append(open[:i], open[i+1:]...)
				}
			case 4: // one comes back to where it was, and is sent what it missed
				if len(ended) == 0 {
					continue
				}
				c := rapid.SampledFrom(ended).Draw(t, "resumed")
				if gap, ok := b.Gap("g", c.at); ok {
					for seq := gap.From + 1; seq <= gap.To; seq++ {
						if !sent[seq] {
							t.Fatalf("event %d counts as delivered and was sent to nobody: resumed at %d, %s", seq, c.at, fmt.Sprint(gap))
						}
					}
					b.Apply(Updates{Progress: []Progress{gap}})
				}
				back := &connection{began: c.at, at: c.at}
				start(back)
				for back.at < end {
					back.at++
					sent[back.at] = true
				}
			}
		}
	})
}
