// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func longestWait(n time.Duration) time.Duration { return n }
func noWait(time.Duration) time.Duration        { return 0 }

func TestBackoff(t *testing.T) {
	lost := errors.New("connection lost")
	shutdown := &CloseError{Code: 1000}
	busy := &RefusedError{Status: 503, RetryAfter: 5 * time.Second}
	type end struct {
		err   error
		lived time.Duration
	}
	const s = time.Second
	for _, tt := range []struct {
		name   string
		random func(time.Duration) time.Duration
		ends   []end
		want   []time.Duration
	}{
		{"doubles up to the maximum", longestWait,
			[]end{{lost, 0}, {lost, 0}, {lost, 0}, {lost, 0}, {lost, 0}, {lost, 0}, {lost, 0}, {lost, 0}},
			[]time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}},
		{"can be 0 each time", noWait, []end{{lost, 0}, {lost, 0}}, []time.Duration{0, 0}},
		{"is reset by a long connection", longestWait,
			[]end{{lost, 0}, {lost, 0}, {lost, 60 * s}, {lost, 0}}, []time.Duration{s, 2 * s, s, 2 * s}},
		{"is not reset by a short connection", longestWait,
			[]end{{lost, 0}, {lost, 59 * s}, {lost, 0}}, []time.Duration{s, 2 * s, 4 * s}},
		{"Retry-After is the minimum", noWait, []end{{busy, 0}, {busy, 0}}, []time.Duration{5 * s, 5 * s}},
		{"Retry-After is spread", longestWait, []end{{busy, 0}, {busy, 0}}, []time.Duration{6 * s, 7 * s}},
		{"at least a second after a shutdown", noWait, []end{{shutdown, 0}}, []time.Duration{s}},
		{"spread after a shutdown", longestWait, []end{{shutdown, time.Hour}}, []time.Duration{10 * s}},
		{"backoff exceeds the spread after several shutdowns", longestWait,
			[]end{{shutdown, 0}, {shutdown, 0}, {shutdown, 0}, {shutdown, 0}, {shutdown, 0}},
			[]time.Duration{10 * s, 10 * s, 10 * s, 10 * s, 16 * s}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := backoff{min: s, max: 60 * s, random: tt.random}
			var got []time.Duration
			for _, e := range tt.ends {
				got = append(got, b.next(e.err, e.lived))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpTo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := time.Duration(rapid.Int64Range(0, int64(longest)).Draw(t, "n"))
		if d := upTo(n); d < 0 || d > n {
			t.Errorf("upTo(%d) = %d", n, d)
		}
	})
}
