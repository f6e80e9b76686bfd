// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "time"

// allowanceBurst is how many seconds' worth a peer may send at once.
const allowanceBurst = 10 * time.Second

// An allowance bounds what one peer sends. Everything it sends takes time, at the
// rate that is allowed; a peer may be ahead of the clock by allowanceBurst. (This is
// the virtual scheduling form of the generic cell rate algorithm, ITU-T I.371.)
type allowance struct {
	used    instant // until when the peer has used up its time
	answers uint64  // messages that were taken for answers to events
}

// read charges n bytes, and reports whether they are within bounds.
func (a *allowance) read(now instant, perSecond, n int) bool {
	if perSecond == 0 {
		return true
	}
	return a.charge(now, time.Duration(n)*time.Second/time.Duration(perSecond))
}

// message charges a message of a peer that has been sent so many events. Gateways
// answer events, and after a replay many at once; those messages are free.
func (a *allowance) message(now instant, perSecond int, sent uint64) bool {
	if perSecond == 0 {
		return true
	}
	if a.answers < sent {
		a.answers++
		return true
	}
	return a.charge(now, time.Second/time.Duration(perSecond))
}

// frames charges n frames that are no messages, each as much as one.
func (a *allowance) frames(now instant, perSecond, n int) bool {
	if perSecond == 0 {
		return true
	}
	return a.charge(now, time.Duration(n)*time.Second/time.Duration(perSecond))
}

func (a *allowance) charge(now instant, cost time.Duration) bool {
	a.used = max(a.used, now).add(cost)
	return a.used <= now.add(allowanceBurst)
}
