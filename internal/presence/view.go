// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package presence

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// peerSilence is how long a node can be silent before its gateways count as not
	// connected. peerMemory is how long it is then listed as not answering.
	peerSilence = 3 * time.Second
	peerMemory  = 10 * time.Minute

	// maxPeers bounds the nodes that are known, so that forged names cannot fill the
	// memory.
	maxPeers = 1000
)

// A view is what this node knows of the other nodes. Any goroutine can use it.
type view struct {
	registry Registry // called with mu held; constant
	logger   *slog.Logger

	mu          sync.Mutex
	nodes       map[string]*peer
	lastExpired time.Time // when expire was last called
}

// A peer is another node. The view's mu guards it.
type peer struct {
	run, seq  uint64 // of its last announcement
	heard     time.Time
	silent    bool
	connected map[string]struct{} // its gateways, as the registry has them
	// pending are its gateways in a full set of which parts are missing; nil if none is
	// being received.
	pending map[string]struct{}
}

func newView(registry Registry, logger *slog.Logger) *view {
	return &view{registry: registry, logger: logger, nodes: make(map[string]*peer)}
}

// apply merges another node's announcement. If one before it was missed, needSync is
// true: the node must be asked for its full set. Until that has arrived, the previous
// state stays.
func (v *view) apply(a announcement, now time.Time) (needSync bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.nodes[a.Node]
	switch {
	case a.Leave:
		// A node that started again has another run: an old leave does not concern it.
		if p != nil && (p.run == a.Run || p.silent) {
			v.disconnectAll(p)
			delete(v.nodes, a.Node)
		}
		return false, nil
	case p == nil && len(v.nodes) >= maxPeers:
		return false, errors.New("there are too many nodes")
	case p == nil && a.Full:
		p = &peer{connected: make(map[string]struct{})}
		v.nodes[a.Node] = p
	case p == nil || !a.Full && (p.run != a.Run || p.seq+1 != a.Seq):
		return true, nil
	}
	p.run, p.seq, p.heard, p.silent = a.Run, a.Seq, now, false
	if a.Full {
		p.pending = make(map[string]struct{}, len(a.Connected))
	}
	if p.pending == nil {
		v.change(p, a.Connected, a.Disconnected)
		return false, nil
	}
	for _, id := range a.Connected {
		p.pending[id] = struct{}{}
	}
	if !a.More {
		v.replace(p)
	}
	return false, nil
}

// change passes the changes of a node's gateways to the registry. mu is held.
func (v *view) change(p *peer, connected, disconnected []string) {
	connected = slices.DeleteFunc(connected, func(id string) bool {
		_, known := p.connected[id]
		p.connected[id] = struct{}{}
		return known
	})
	disconnected = slices.DeleteFunc(disconnected, func(id string) bool {
		_, known := p.connected[id]
		delete(p.connected, id)
		return !known
	})
	v.registry.UpdateRemote(connected, disconnected)
}

// replace makes the pending set of a node its current one. A gateway that is in both
// counts as connected throughout. mu is held.
func (v *view) replace(p *peer) {
	var disconnected []string
	for id := range p.connected {
		if _, connected := p.pending[id]; !connected {
			disconnected = append(disconnected, id)
		}
	}
	connected := slices.Collect(maps.Keys(p.pending))
	p.pending = nil
	v.change(p, connected, disconnected)
}

// disconnectAll counts all gateways of a node as not connected. mu is held.
func (v *view) disconnectAll(p *peer) {
	v.change(p, nil, slices.Collect(maps.Keys(p.connected)))
	p.pending = nil
}

// expire marks nodes that were silent for too long. While this node is not connected to
// NATS, or was not running, it could not hear them: then nobody's silence counts.
func (v *view) expire(now time.Time, busConnected bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stalled := now.Sub(v.lastExpired) > announceIdle
	v.lastExpired = now
	for name, p := range v.nodes {
		if !busConnected || stalled {
			p.heard = now
		}
		switch silence := now.Sub(p.heard); {
		case silence > peerMemory:
			v.disconnectAll(p)
			delete(v.nodes, name)
		case silence > peerSilence && !p.silent:
			p.silent = true
			p.run = 0 // its next announcement triggers a sync request
			v.disconnectAll(p)
			v.logger.Warn("another node does not answer; its gateways count as not connected", "node", name)
		}
	}
}

// names returns the other nodes, and those of them that are silent, in order.
func (v *view) names() (all, silent []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, p := range v.nodes {
		all = append(all, name)
		if p.silent {
			silent = append(silent, name)
		}
	}
	slices.Sort(all)
	slices.Sort(silent)
	return all, silent
}

// complete reports whether the full set of each of these nodes has arrived. Without
// names it reports whether that of any node has: nodes of the version before do not
// send their names.
func (v *view) complete(names []string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(names) == 0 {
		for _, p := range v.nodes {
			if p.pending == nil {
				return true
			}
		}
		return false
	}
	for _, name := range names {
		if p := v.nodes[name]; p == nil || p.pending != nil {
			return false
		}
	}
	return true
}
