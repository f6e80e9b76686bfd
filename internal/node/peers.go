// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"

	"github.com/google/uuid"
)

// Nodes that share a log tell each other which gateways they have connections of,
// so that any of them can say how many are connected. A node says what has
// changed, and everything when it is asked to, because somebody missed something,
// and now and then anyway.
const (
	helloSubject    = "hello."   // a node's name follows it
	pleaseSubject   = "please"   // asks everybody to say everything
	closeSubject    = "close"    // asks whoever has a connection to close it
	statsSubject    = "stats"    // asks everybody for their stats
	verifiedSubject = "verified" // asks everybody to take back what the platform said of a gateway

	helloChanges  = 250 * time.Millisecond // until what has changed is told
	helloIdle     = time.Second            // between hellos when nothing has
	helloFull     = 30 * time.Second       // between hellos that say everything
	helloIDs      = 5000                   // gateways in one hello
	helloSettle   = 2 * helloChanges       // that a node which starts gives the others to answer
	helloPatience = 5 * time.Second        // the most that it waits for those who have begun to

	// peerSilence is how long a node may be silent before its gateways count as
	// not connected, and peerMemory for how long it is then missed.
	peerSilence = 3 * time.Second
	peerMemory  = 10 * time.Minute

	// maxPeers bounds the nodes that are remembered, so that made-up names do not fill
	// the memory.
	maxPeers = 1000
	// maxPage bounds the connections that another node may ask for at once.
	maxPage = 10_000
)

// peers is what a node knows of the others. Its methods may be called by any
// goroutine.
type peers struct {
	name     string
	run      uint64
	bus      eventlog.Bus
	registry *auth.Registry
	here     func(f func(gatewayID string)) // calls f with those that have a connection to this node
	send     func(hello)
	most     int // gateways in one hello
	logger   *slog.Logger
	foreign  func(subject string, err error) // notes a message that no node has sent
	stops    []func()
	quit     chan struct{}
	ended    chan struct{}
	joined   bool

	asked atomic.Bool // somebody wants to hear everything

	mu    sync.Mutex
	nodes map[string]*peer

	// Of the goroutine that says hello.
	n      uint64
	told   map[string]struct{}
	spare  map[string]struct{} // for the next told
	missed time.Time           // when miss was called last
}

// newPeers returns the peers of a node that has not joined them yet.
func newPeers(n *Node) *peers {
	p := &peers{
		name: n.cfg.NodeID, run: max(rand.Uint64(), 1), bus: n.log.Bus(), registry: n.registry, logger: n.cfg.Logger,
		foreign: func(subject string, err error) { n.log.Skipped(eventlog.SourceBus, subject, err) },
		quit:    make(chan struct{}), ended: make(chan struct{}),
		nodes: make(map[string]*peer), told: make(map[string]struct{}), spare: make(map[string]struct{}),
	}
	p.here = p.registry.EachLocal
	p.send = func(h hello) { _ = p.bus.Publish(helloSubject+p.name, marshal(&h)) } // what is lost is asked for
	p.most = max(1, min(helloIDs, (p.bus.MaxMessage()-helloBytes)/idBytes))
	return p
}

// Bounds of the JSON of a hello: without gateways, and what each takes.
const (
	helloBytes = 512
	idBytes    = event.MaxNameLen + len(`"",`)
)

// meet returns when the other nodes have said which gateways they have, or should have:
// a node that starts must not take those for disconnected. Where there is no other node
// it returns at once. It is called before join.
func (p *peers) meet(ctx context.Context, n *Node) error {
	err := p.subscribe(n, helloSubject+"*", func(subject string, data []byte) []byte { p.heard(subject, data); return nil })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, helloPatience)
	answered := make(chan string)
	asked := make(chan struct{}) // closed when nobody listens, or ctx has ended
	go func() {
		defer close(asked)
		_ = p.bus.Ask(ctx, pleaseSubject, nil, func(name []byte) bool {
			select {
			case answered <- string(name):
			case <-ctx.Done():
			}
			return false
		})
	}()
	defer func() { cancel(); <-asked }()
	settle, look := time.NewTimer(helloSettle), time.NewTicker(helloChanges/10)
	defer settle.Stop()
	defer look.Stop()
	var names []string
	settled := false
	for {
		select {
		case <-asked: // who did not answer in time speaks up anyway
			return nil
		case name := <-answered:
			names = append(names, name)
		case <-settle.C:
			settled = true
		case <-look.C:
		}
		if settled && p.met(names) {
			return nil
		}
	}
}

// met reports whether all of some nodes have said everything; without names, whether any
// node has: one of the version before does not answer with its name.
func (p *peers) met(names []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	whole := func(n *peer) bool { return n != nil && n.next == nil }
	if len(names) == 0 {
		for _, n := range p.nodes {
			if whole(n) {
				return true
			}
		}
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return name != p.name && !whole(p.nodes[name]) })
}

func (p *peers) subscribe(n *Node, subject string, f func(subject string, data []byte) []byte) error {
	stop, err := p.bus.Subscribe(subject, n.contained(f))
	if err != nil {
		return fmt.Errorf("join the other nodes: %w", err)
	}
	p.stops = append(p.stops, stop)
	return nil
}

// join makes the node known to the others.
func (p *peers) join(n *Node) error {
	for subject, f := range map[string]func(subject string, data []byte) []byte{
		pleaseSubject:   func(string, []byte) []byte { p.asked.Store(true); return []byte(p.name) },
		closeSubject:    func(_ string, data []byte) []byte { return p.closeHere(n.router, data) },
		verifiedSubject: func(_ string, data []byte) []byte { return p.endVerifiedHere(data) },
		statsSubject:    func(_ string, data []byte) []byte { return p.statsHere(n.api, data) },
	} {
		if err := p.subscribe(n, subject, f); err != nil {
			return err
		}
	}
	p.asked.Store(true)
	_ = p.bus.Publish(pleaseSubject, nil) // of those that started while this one did
	p.joined = true
	go p.speak()
	return nil
}

// contained returns f, a handler of other nodes' messages, without its panics: one is
// counted and logged, and answers nothing.
func (n *Node) contained(f func(subject string, data []byte) []byte) func(subject string, data []byte) []byte {
	return func(subject string, data []byte) (answer []byte) {
		defer func() {
			if v := recover(); v != nil {
				n.counts.Panics.WithLabelValues("cluster").Inc()
				n.cfg.Logger.Error("internal error: the handler of another node's message panicked",
					"subject", subject, "panic", v, "stack", string(debug.Stack()))
				answer = nil
			}
		}()
		return f(subject, data)
	}
}

func (p *peers) unsubscribe() {
	for _, stop := range p.stops {
		stop()
	}
}

// leave says goodbye.
func (p *peers) leave() {
	if p.joined {
		close(p.quit)
		<-p.ended
	}
	p.unsubscribe()
}

// names returns the other nodes, and those of them that do not answer. To nil
// peers there are none.
func (p *peers) names() (all, silent []string) {
	if p == nil {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.nodes {
		all = append(all, name)
		if n.silent {
			silent = append(silent, name)
		}
	}
	slices.Sort(all)
	slices.Sort(silent)
	return all, silent
}

// closeTimeout is how long other nodes have to say that they have closed a
// connection.
const closeTimeout = time.Second

// closeConnection closes a connection of another node's, and reports whether one
// had it.
func (p *peers) closeConnection(ctx context.Context, id uuid.UUID) (found bool, err error) {
	if p == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	missing, err := p.askAll(ctx, closeSubject, []byte(id.String()), func(answer []byte) string {
		node, closed := strings.CutPrefix(string(answer), "closed ")
		found = found || closed
		return node
	})
	if err == nil && !found && len(missing) > 0 {
		err = fmt.Errorf("it is not of a node that answers, and these do not: %s", strings.Join(missing, ", "))
	}
	return found, err
}

// closeHere closes a connection of this node's, and returns what to answer.
func (p *peers) closeHere(router *shard.Router, id []byte) []byte {
	u, err := uuid.ParseBytes(id)
	if err != nil {
		p.foreign(closeSubject, err)
		return nil
	}
	if router.CloseConnection(u) {
		return []byte("closed " + p.name)
	}
	return []byte(p.name)
}

// endVerified takes back on every node what the platform said of a gateway's tokens.
func (p *peers) endVerified(ctx context.Context, gatewayID string) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	missing, err := p.askAll(ctx, verifiedSubject, []byte(gatewayID), func(answer []byte) string { return string(answer) })
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("these nodes do not answer, and may still have its connections: %s", strings.Join(missing, ", "))
	}
	return err
}

// endVerifiedHere does so on this node, and returns what to answer.
func (p *peers) endVerifiedHere(gatewayID []byte) []byte {
	if !event.ValidName(string(gatewayID)) {
		p.foreign(verifiedSubject, fmt.Errorf("it names a gateway %q", gatewayID))
		return nil
	}
	if p.registry.RevokeVerified(string(gatewayID)) != nil {
		return nil
	}
	return []byte(p.name)
}

// Stats implements [api.Cluster].
func (p *peers) Stats(ctx context.Context, q api.PageQuery) (parts []api.NodeStats, missing []string, err error) {
	missing, err = p.askAll(ctx, statsSubject, marshal(&q), func(answer []byte) string {
		var part api.NodeStats
		if json.Unmarshal(answer, &part) != nil || !event.ValidName(part.NodeID) {
			return "" // of a node of another version: it is missing
		}
		parts = append(parts, part)
		return part.NodeID
	})
	return parts, missing, err
}

// statsHere returns what this node answers who asks for its stats, nil when it
// cannot.
func (p *peers) statsHere(s *api.Server, query []byte) []byte {
	q, err := parsePageQuery(query)
	if err != nil {
		p.foreign(statsSubject, err)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	part, err := s.NodeStats(ctx, q)
	if err != nil {
		return nil
	}
	return marshal(&part)
}

// parsePageQuery reads what another node asks the stats for.
func parsePageQuery(query []byte) (q api.PageQuery, err error) {
	if err := json.Unmarshal(query, &q); err != nil {
		return api.PageQuery{}, err
	}
	if q.Limit < 0 || q.Limit > maxPage {
		return api.PageQuery{}, fmt.Errorf("it asks for %d connections", q.Limit)
	}
	return q, nil
}

// askAll asks every node that answers, this one too, and hands each answer to f. It
// returns the nodes that gave none; answers of nodes not heard of count too.
func (p *peers) askAll(ctx context.Context, subject string, data []byte, f func(answer []byte) (node string)) (missing []string, err error) {
	all, _ := p.names()
	left := make(map[string]struct{}, len(all)+1)
	for _, name := range append(all, p.name) {
		left[name] = struct{}{}
	}
	err = p.bus.Ask(ctx, subject, data, func(answer []byte) (enough bool) {
		delete(left, f(answer))
		return len(left) == 0
	})
	return slices.Sorted(maps.Keys(left)), err
}
