// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A hello is what a node says of itself.
type hello struct {
	Node string   `json:"node"`
	Run  uint64   `json:"run"`            // one start of the node
	N    uint64   `json:"n"`              // counts the hellos of a run
	Full bool     `json:"full,omitempty"` // On is everything, together with the hellos that follow at once
	More bool     `json:"more,omitempty"` // another one that belongs to the full one follows
	Bye  bool     `json:"bye,omitempty"`
	On   []string `json:"on,omitempty"`  // gateways that have a connection now
	Off  []string `json:"off,omitempty"` // gateways that have none any more
}

// A peer is another node.
type peer struct {
	run, n   uint64
	heard    time.Time
	silent   bool
	gateways map[string]struct{} // that have a connection to it
	next     map[string]struct{} // those of a full hello whose end has not come; nil for none
}

// speak says hello until leave.
func (p *peers) speak() {
	defer close(p.ended)
	tick := time.NewTicker(helloChanges)
	defer tick.Stop()
	var last, full time.Time
	for {
		select {
		case <-p.quit:
			p.say(hello{Bye: true})
			return
		case now := <-tick.C:
			p.miss(now, p.bus.Connected())
			switch {
			case p.asked.Swap(false) || now.Sub(full) >= helloFull:
				last, full = now, now
				p.sayAll()
			case p.sayChanges() || now.Sub(last) < helloIdle:
			default:
				last = now
				p.say(hello{})
			}
		}
	}
}

func (p *peers) say(h hello) {
	p.n++
	h.Node, h.Run, h.N = p.name, p.run, p.n
	p.send(h)
}

// sayAll says everything.
func (p *peers) sayAll() {
	clear(p.told)
	p.here(func(id string) { p.told[id] = struct{}{} })
	left := slices.Collect(maps.Keys(p.told))
	for first := true; first || len(left) > 0; first = false {
		n := min(len(left), p.most)
		p.say(hello{Full: first, On: left[:n], More: n < len(left)})
		left = left[n:]
	}
}

// sayChanges says what has changed, and reports whether something has.
func (p *peers) sayChanges() bool {
	var h hello
	here := p.spare
	clear(here)
	p.here(func(id string) {
		here[id] = struct{}{}
		if _, known := p.told[id]; !known {
			h.On = append(h.On, id)
		}
	})
	for id := range p.told {
		if _, there := here[id]; !there {
			h.Off = append(h.Off, id)
		}
	}
	if len(h.On)+len(h.Off) > p.most { // more than one message takes
		p.sayAll()
		return true
	}
	p.told, p.spare = here, p.told
	if len(h.On)+len(h.Off) == 0 {
		return false
	}
	p.say(h)
	return true
}

// parseHello reads the hello of a node, as it stands under a subject. It takes only
// what a node can say, so that nothing after it need check again.
func parseHello(subject string, data []byte) (h hello, err error) {
	if err := json.Unmarshal(data, &h); err != nil {
		return hello{}, err
	}
	switch {
	case !event.ValidName(h.Node) || subject != helloSubject+h.Node:
		return hello{}, fmt.Errorf("it is of node %q", h.Node)
	case h.Run == 0 || h.N == 0:
		return hello{}, errors.New("it has no number")
	case len(h.On) > helloIDs || len(h.Off) > helloIDs:
		return hello{}, errors.New("it names too many gateways")
	}
	for _, ids := range [][]string{h.On, h.Off} {
		for _, id := range ids {
			if !event.ValidName(id) {
				return hello{}, fmt.Errorf("it names a gateway %q", id)
			}
		}
	}
	return h, nil
}

// heard takes another node's hello.
func (p *peers) heard(subject string, data []byte) {
	h, err := parseHello(subject, data)
	if err != nil {
		p.foreign(subject, err)
		return
	}
	if h.Node == p.name {
		if h.Run != p.run {
			p.logger.Error("another node has this one's name; give each its own with --node", "node", p.name)
		}
		return
	}
	ask, err := p.hear(h, time.Now())
	if err != nil {
		p.foreign(subject, err)
	}
	if ask {
		_ = p.bus.Publish(pleaseSubject, nil)
	}
}

// hear merges another node's hello into what is known of it, and reports whether
// something was missed, so that the node is to be asked for everything. Until it has
// answered, what was known stays.
func (p *peers) hear(h hello, now time.Time) (ask bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[h.Node]
	switch {
	case h.Bye && n != nil && (n.run == h.Run || n.silent):
		p.forget(n)
		delete(p.nodes, h.Node)
		return false, nil
	case h.Bye: // of a node that has started again since
		return false, nil
	case n == nil && len(p.nodes) >= maxPeers:
		return false, errors.New("there are too many nodes")
	case h.Full && n == nil:
		n = &peer{gateways: make(map[string]struct{})}
		p.nodes[h.Node] = n
	case h.Full:
	case n == nil || n.run != h.Run || n.n+1 != h.N:
		return true, nil
	}
	n.run, n.n, n.heard, n.silent = h.Run, h.N, now, false
	if h.Full {
		n.next = make(map[string]struct{}, len(h.On))
	}
	if n.next == nil {
		p.change(n, h.On, h.Off)
		return false, nil
	}
	for _, id := range h.On {
		n.next[id] = struct{}{}
	}
	if !h.More {
		p.replace(n)
	}
	return false, nil
}

// change carries in what has changed at a node. Mu is held.
func (p *peers) change(n *peer, on, off []string) {
	on = slices.DeleteFunc(on, func(id string) bool {
		_, known := n.gateways[id]
		n.gateways[id] = struct{}{}
		return known
	})
	off = slices.DeleteFunc(off, func(id string) bool {
		_, known := n.gateways[id]
		delete(n.gateways, id)
		return !known
	})
	p.registry.UpdateRemote(on, off)
}

// replace puts what a node has said in full in the place of what was known of it. A
// gateway that is in both counts as connected throughout. Mu is held.
func (p *peers) replace(n *peer) {
	var off []string
	for id := range n.gateways {
		if _, there := n.next[id]; !there {
			off = append(off, id)
		}
	}
	on := slices.Collect(maps.Keys(n.next))
	n.next = nil
	p.change(n, on, off)
}

// forget takes what a node has for gone. Mu is held.
func (p *peers) forget(n *peer) {
	p.change(n, nil, slices.Collect(maps.Keys(n.gateways)))
	n.next = nil
}

// miss notes which nodes have been silent for too long. While this node is not connected
// to the others, or does not run, their silence is not theirs.
func (p *peers) miss(now time.Time, connected bool) {
	passed := now.Sub(p.missed)
	p.missed = now
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.nodes {
		if !connected || passed > helloIdle {
			n.heard = now
		}
		switch quiet := now.Sub(n.heard); {
		case quiet > peerMemory:
			p.forget(n)
			delete(p.nodes, name)
		case quiet > peerSilence && !n.silent:
			n.silent = true
			n.run = 0 // when it speaks again it is to say everything
			p.forget(n)
			p.logger.Warn("another node does not answer; its gateways count as not connected", "node", name)
		}
	}
}
