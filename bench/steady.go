// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// A steady publishes at a constant rate, independently of the server's speed. Each of its
// publishers has a share of the rate and of the gateways; while one waits for its receipt, the
// others continue.
type steady struct {
	publishers
	gateways   []gateway
	rate       int // events per second, of all publishers together
	eventBytes int
	to         func(*gateway) audience // audience of an event in the gateway's turn

	numbers []int64 // number of each publisher's last event
}

// newSteady makes the given number of publishers, but at most one per gateway.
func newSteady(ctx context.Context, l *load, publishers, rate, eventBytes int) (*steady, error) {
	s := &steady{
		gateways: l.gateways, rate: rate, eventBytes: eventBytes, to: (*gateway).audience,
		numbers: make([]int64, min(publishers, len(l.gateways))),
	}
	var err error
	if s.publishers, err = dialPublishers(ctx, l.Target, len(s.numbers)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// until publishes until over ends, and completes the last publishes. It calls published, if not
// nil, with the gateway whose turn each event was, and returns the number of events.
func (s *steady) until(over context.Context, published func(*gateway)) (int, error) {
	var count atomic.Int64
	start, every := now(), perSecond(s.rate)
	all := len(s.publishers)
	err := inParallel(context.WithoutCancel(over), all, all, func(failed context.Context, k int) error {
		pace := newPace(start+time.Duration(k)*every, time.Duration(all)*every)
		defer pace.stop()
		share := shareOf(s.gateways, k, all)
		for failed.Err() == nil {
			sent, err := pace.next(over)
			if err != nil {
				return nil // over has ended
			}
			g := share[int(s.numbers[k])%len(share)]
			s.numbers[k]++
			if err := s.publishers[k].publish(s.to(g), stamp{n: s.numbers[k], sent: sent}, s.eventBytes); err != nil {
				return err
			}
			count.Add(1)
			if published != nil {
				published(g)
			}
		}
		return nil
	})
	return int(count.Load()), err
}
