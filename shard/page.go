// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// A page is a range of the log that a scan has read, for one shard. The scanner fills
// it and hands it over; from then on the loop owns it, until it sends on done.
type page struct {
	*history
	// lost reports whether retention has removed the events of this range.
	lost bool
	// lineage is the log's when the scan began.
	lineage Lineage
	// done receives one value when nobody reads the page any more: how many of the
	// shard's connections want the next page.
	done chan<- int

	offered bool // to every connection that waits for a scan
	readers int  // connections that are reading it
}

// offerPage offers a page to the connections that wait for a scan, within the budget.
func (s *state) offerPage(p *page, budget int) (cost int, done bool) {
	if p.lineage != s.lineage { // of an old lineage: nobody reads it, and the next scan reads the new one
		p.done <- 0
		p.done = nil
		return 1, true
	}
	cost, done = fanOut(s, &s.scanWaiters, budget, func(c *conn) int { return c.readPage(p) })
	if done {
		p.offered = true
		s.closePage(p)
	}
	return cost, done
}

// closePage tells the scanner when nobody reads the page any more.
func (s *state) closePage(p *page) {
	if !p.offered || p.readers > 0 || p.done == nil {
		return
	}
	more := 0
	for _, c := range s.scanWaiters.items {
		if c != nil && c.position() >= p.upTo {
			more++
		}
	}
	p.done <- more // has room
	p.done = nil
}

// evictReaders takes the page from the connections that still read it: they take events
// too slowly for the others to wait. They get another scan.
func (s *state) evictReaders(p *page) {
	for _, c := range s.scanWaiters.items {
		if c != nil && c.out.replay.page == p {
			c.leavePage()
		}
	}
}

// minOffset returns the lowest sequence from which a scan is wanted; ok is false when
// none is. Connections with a full queue want none now.
func (s *state) minOffset() (position uint64, ok bool) {
	for _, c := range s.scanWaiters.items {
		if c == nil || !c.hasRoom() {
			continue
		}
		if at := c.position(); !ok || at < position {
			position, ok = at, true
		}
	}
	return position, ok
}
