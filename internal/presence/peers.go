// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Subjects on the bus.
const (
	announceSubject = "hello."   // followed by a node's name: its announcements
	syncSubject     = "please"   // asks all nodes to announce their full sets
	closeSubject    = "close"    // asks the node that has a connection to close it
	statsSubject    = "stats"    // asks all nodes for their stats
	verifiedSubject = "verified" // asks all nodes to end the tokens of a gateway that the platform verified
)

const (
	announceEvery = 250 * time.Millisecond // between checks for changes
	announceIdle  = time.Second            // between announcements without a change
	announceFull  = 30 * time.Second       // between announcements of the full set
	settleTime    = 2 * announceEvery      // that a node which starts gives the others to answer
	settleTimeout = 5 * time.Second        // the most that it waits for those that began to
)

// A Bus carries messages between the nodes that share a log.
type Bus interface {
	// Connected reports whether messages can be sent and received now.
	Connected() bool
	// MaxMessage returns the size limit of a message, in bytes.
	MaxMessage() int
	Publish(subject string, data []byte) error
	// Subscribe calls f with each message, on one goroutine, until stop returns. A result
	// that is not nil is the reply to a request.
	Subscribe(subject string, f func(subject string, data []byte) (answer []byte)) (stop func(), err error)
	// Ask sends a request and calls f with each reply, until f returns true, ctx ends or
	// nobody listens.
	Ask(ctx context.Context, subject string, data []byte, f func(answer []byte) (enough bool)) error
}

// A Registry knows the connected gateways. It is auth's.
type Registry interface {
	// EachLocal calls f with each gateway that is connected to this node.
	EachLocal(f func(gatewayID string))
	// UpdateRemote reports gateways for which one more, or one fewer, of the other nodes
	// has a connection. It is called by one goroutine at a time.
	UpdateRemote(connected, disconnected []string)
}

// Config is what a node's presence consists of.
type Config struct {
	Node     string // this node's name
	Bus      Bus
	Registry Registry
	Local    Local
	Logger   *slog.Logger
	// Foreign is called with a message that no node sent.
	Foreign func(subject string, err error)
	// Panicked is called when the handler of a message panicked. The message is then not
	// answered.
	Panicked func(subject string, v any)
}

// Peers are the other nodes that share the log. Any goroutine can call its methods,
// except Meet, Join and Leave, which are called once each, in this order, by one
// goroutine. Nil Peers are of a node that shares its log with no other.
type Peers struct {
	Config // constant
	run    uint64
	view   *view

	announcer *announcer  // owned by the goroutine of Join
	syncAll   atomic.Bool // the full set is to be announced next

	// Owned by the goroutine that calls Meet, Join and Leave.
	stops  []func() // end the subscriptions
	joined bool

	quit  chan struct{}
	ended chan struct{} // closed when announcing has ended
}

// New returns Peers that have not joined the other nodes.
func New(cfg Config) *Peers {
	p := &Peers{
		Config: cfg,
		run:    max(rand.Uint64(), 1),
		view:   newView(cfg.Registry, cfg.Logger),
		quit:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
	send := func(a announcement) { _ = p.Bus.Publish(announceSubject+p.Node, marshal(&a)) }
	p.announcer = newAnnouncer(p.Node, p.run, gatewaysPerMessage(p.Bus.MaxMessage()), p.Registry.EachLocal, send)
	return p
}

// Meet waits until the other nodes have announced their gateways, or should have: a
// node that starts must not take those for disconnected. Without other nodes it returns
// at once.
func (p *Peers) Meet(ctx context.Context) error {
	err := p.subscribe(announceSubject+"*", func(subject string, data []byte) []byte { p.receive(subject, data); return nil })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	answered, ended := p.requestSync(ctx)
	defer func() { cancel(); <-ended }()
	settle, poll := time.NewTimer(settleTime), time.NewTicker(announceEvery/10)
	defer settle.Stop()
	defer poll.Stop()
	var names []string
	settled := false
	for {
		select {
		case <-ended: // nobody listens, or the time is over: announcements that arrive later are applied anyway
			return nil
		case name := <-answered:
			if name != p.Node {
				names = append(names, name)
			}
		case <-settle.C:
			settled = true
		case <-poll.C:
		}
		if settled && p.view.complete(names) {
			return nil
		}
	}
}

// requestSync sends a sync request. answered has the names of the nodes that answer.
// ended is closed when there will be no more: nobody listens, or ctx has ended.
func (p *Peers) requestSync(ctx context.Context) (answered <-chan string, ended <-chan struct{}) {
	names, done := make(chan string), make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Bus.Ask(ctx, syncSubject, nil, func(name []byte) bool {
			select {
			case names <- string(name):
			case <-ctx.Done():
			}
			return false
		})
	}()
	return names, done
}

// Join starts announcing and answers the other nodes' requests.
func (p *Peers) Join() error {
	for subject, f := range map[string]func(data []byte) []byte{
		syncSubject:     func([]byte) []byte { p.syncAll.Store(true); return []byte(p.Node) },
		closeSubject:    p.closeLocal,
		verifiedSubject: p.endVerifiedLocal,
		statsSubject:    p.statsLocal,
	} {
		if err := p.subscribe(subject, func(_ string, data []byte) []byte { return f(data) }); err != nil {
			return err
		}
	}
	p.syncAll.Store(true)
	_ = p.Bus.Publish(syncSubject, nil) // for nodes that started at the same time
	p.joined = true
	go p.announceUntilQuit()
	return nil
}

// Leave announces that the node stops, and ends its subscriptions.
func (p *Peers) Leave() {
	if p.joined {
		close(p.quit)
		<-p.ended
	}
	p.Unsubscribe()
}

// Unsubscribe ends the subscriptions, so that the node no longer answers. Leave does it
// too; tests of a node that hangs do only this.
func (p *Peers) Unsubscribe() {
	for _, stop := range p.stops {
		stop()
	}
}

// Names returns the other nodes, and those of them that do not answer.
func (p *Peers) Names() (all, silent []string) {
	if p == nil {
		return nil, nil
	}
	return p.view.names()
}

// announceUntilQuit is the goroutine of Join. It owns the announcer.
func (p *Peers) announceUntilQuit() {
	defer close(p.ended)
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	var last, lastFull time.Time
	for {
		select {
		case <-p.quit:
			p.announcer.announce(announcement{Leave: true})
			return
		case now := <-tick.C:
			p.view.expire(now, p.Bus.Connected())
			switch {
			case p.syncAll.Swap(false) || now.Sub(lastFull) >= announceFull:
				last, lastFull = now, now
				p.announcer.announceAll()
			case p.announcer.announceChanges() || now.Sub(last) < announceIdle:
			default:
				last = now
				p.announcer.announce(announcement{})
			}
		}
	}
}

// receive handles an announcement on the bus, this node's own included.
func (p *Peers) receive(subject string, data []byte) {
	a, err := parseAnnouncement(subject, data)
	if err != nil {
		p.Foreign(subject, err)
		return
	}
	if a.Node == p.Node {
		if a.Run != p.run {
			p.Logger.Error("another node has this node's name; give each node its own with --node", "node", p.Node)
		}
		return
	}
	needSync, err := p.view.apply(a, time.Now())
	if err != nil {
		p.Foreign(subject, err)
	}
	if needSync {
		_ = p.Bus.Publish(syncSubject, nil)
	}
}

// subscribe subscribes f. A panic of f is reported, and the message is not answered.
func (p *Peers) subscribe(subject string, f func(subject string, data []byte) []byte) error {
	stop, err := p.Bus.Subscribe(subject, func(subject string, data []byte) (answer []byte) {
		defer func() {
			if v := recover(); v != nil {
				p.Panicked(subject, v)
				answer = nil
			}
		}()
		return f(subject, data)
	})
	if err != nil {
		return fmt.Errorf("join the other nodes: %w", err)
	}
	p.stops = append(p.stops, stop)
	return nil
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a message to other nodes cannot be marshalled: " + err.Error())
	}
	return b
}
