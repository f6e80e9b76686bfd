// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"sync/atomic"

	"github.com/gatecast/gatecast/auth"
)

// Limits bound the connections of a node. Zero is no limit, but for Total.
type Limits struct {
	Total        int
	Gateway, Org int // of one gateway, and of one organization
}

// takePlace takes a place for a connection, or says why there is none. The place is
// given back by calling release, once, on any goroutine.
func (f *Front) takePlace(g *auth.Grant) (release func(), no *refusal) {
	taken := make([]*atomic.Int32, 0, 2)
	back := func() {
		for _, n := range taken {
			n.Add(-1)
		}
		f.live.Add(-1)
	}
	if f.live.Add(1) > int64(f.cfg.Limits.Total) {
		back()
		return nil, capacityExceeded("this node has all the connections it may have")
	}
	for _, l := range []struct {
		count *atomic.Int32
		limit int
		whose string
	}{{g.QuotaUsed, f.cfg.Limits.Gateway, "gateway"}, {g.OrgQuotaUsed, f.cfg.Limits.Org, "organization"}} {
		if l.limit == 0 || l.count == nil {
			continue
		}
		taken = append(taken, l.count)
		if l.count.Add(1) > int32(l.limit) {
			back()
			return nil, capacityExceeded("this " + l.whose + " has all the connections it may have")
		}
	}
	if len(taken) == 0 { // one func for all connections, of which there are many
		return f.closed, nil
	}
	return back, nil
}
