// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// A page is one stretch of a scan of the log, for one shard. The scanner fills it
// and hands it over; from then on it is the loop's, until done has a value.
type page struct {
	*history
	// lost says that retention has taken what was in this stretch.
	lost bool
	// in is the lineage of what was read.
	in Lineage
	// done is told once, when nobody reads the page any more, how many of the
	// shard's connections want the page behind it.
	done chan<- int

	turned  bool // it was offered to everybody who is behind
	readers int  // connections that take events from it
}

// turnPage offers a page to those who are behind, within the budget.
func (s *state) turnPage(p *page, budget int) (cost int, done bool) {
	if p.in != s.lineage { // nobody reads it, and the next scan brings what is
		p.done <- 0
		p.done = nil
		return 1, true
	}
	cost, done = fan(s, &s.behind, budget, func(c *conn) int { return c.read(p) })
	if done {
		p.turned = true
		s.closePage(p)
	}
	return cost, done
}

// closePage tells the scanner when nobody reads the page any more.
func (s *state) closePage(p *page) {
	if !p.turned || p.readers > 0 || p.done == nil {
		return
	}
	more := 0
	for _, c := range s.behind.items {
		if c != nil && c.place() >= p.upTo {
			more++
		}
	}
	p.done <- more // has room
	p.done = nil
}

// takeAway has those who still read a page go on without it: they take events too
// slowly for the others to wait for them. A later scan will come by.
func (s *state) takeAway(p *page) {
	for _, c := range s.behind.items {
		if c != nil && c.out.replay.page == p {
			c.leavePage()
		}
	}
}

// farthestBehind returns the earliest place that a scan is wanted from; ok is
// false when none is. Connections whose queue is full do not want one now.
func (s *state) farthestBehind() (place uint64, ok bool) {
	for _, c := range s.behind.items {
		if c == nil || !c.hasRoom() {
			continue
		}
		if at := c.place(); !ok || at < place {
			place, ok = at, true
		}
	}
	return place, ok
}
