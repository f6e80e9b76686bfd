// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"sync/atomic"

	"github.com/gatecast/gatecast/auth"
)

// Limits are the connection quotas of a node. Zero means no limit, except for Total.
type Limits struct {
	Total        int // connections to the node
	Gateway, Org int // connections of one gateway, and of one organization
}

// acquireQuota counts a connection against the quotas, or returns the refusal. The caller
// calls release once, on any goroutine, when the connection has ended. It increments first
// and checks afterwards, so that concurrent connections cannot pass a limit together.
func (f *Front) acquireQuota(g *auth.Grant) (release func(), refused *refusal) {
	used := make([]*atomic.Int32, 0, 2)
	release = func() {
		for _, n := range used {
			n.Add(-1)
		}
		f.live.Add(-1)
	}
	if f.live.Add(1) > int64(f.cfg.Limits.Total) {
		release()
		return nil, capacityExceeded("this node has reached its connection limit")
	}
	for _, q := range []struct {
		used  *atomic.Int32
		limit int
		owner string
	}{{g.QuotaUsed, f.cfg.Limits.Gateway, "gateway"}, {g.OrgQuotaUsed, f.cfg.Limits.Org, "organization"}} {
		if q.limit == 0 || q.used == nil {
			continue
		}
		used = append(used, q.used)
		if q.used.Add(1) > int32(q.limit) {
			release()
			return nil, capacityExceeded("this " + q.owner + " has reached its connection limit on this node")
		}
	}
	if len(used) == 0 { // one func value for all connections, to save memory
		return f.releaseTotal, nil
	}
	return release, nil
}
