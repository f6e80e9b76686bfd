// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// A steady publishes at a steady rate, whatever the server does: several
// publishers have a share of the rate, and of the gateways, each. When one waits
// for its receipt the others go on.
type steady struct {
	publishers
	gateways   []gateway
	rate       int // events a second, of all publishers together
	eventBytes int
	to         func(*gateway) audience // whom an event is for when it is the gateway's turn

	numbers []int64 // of each publisher's last event
}

// newSteady makes the publishers: as many as asked for, and one a gateway at
// most.
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

// until publishes until over ends; what is begun then is finished. It calls
// published, if that is not nil, with the gateway whose turn each event was, and
// returns how many there were.
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
				return nil // it is over
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
