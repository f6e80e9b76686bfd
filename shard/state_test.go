// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
	"github.com/gatecast/gatecast/test/testenv"

	"github.com/google/go-cmp/cmp"
)

func TestAckComesFirst(t *testing.T) {
	r := newRig(Config{})
	p := r.connecting("g")
	first := r.publish(to("g"))
	r.settle()
	if diff := cmp.Diff([]string{"ack", first}, p.lines()); diff != "" {
		t.Error(diff)
	}
	var ack struct {
		Type, GatewayID, ConnectionID, Timestamp, Cursor string
		Resumed                                          *bool
	}
	line, _, _ := cutLast(p.wrote.String(), "\n"+first)
	if err := json.Unmarshal([]byte(line[len("ack "):]), &ack); err != nil {
		t.Fatal(err)
	}
	if ack.Type != "connection.ack" || ack.GatewayID != "g" || ack.Cursor != "7-100" || ack.Resumed == nil || *ack.Resumed {
		t.Errorf("ack = %+v", ack)
	}
	if _, err := time.Parse(event.TimeFormat, ack.Timestamp); err != nil {
		t.Error(err)
	}
}

// The upgrade response is sent before everything, in one write with the ack, also when
// the connection is closed before anything was written.
func TestUpgradeResponseComesFirst(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*rig, *pipe)
		want []string
	}{
		{"ack", func(*rig, *pipe) {}, []string{"101", "ack"}},
		{"revoked meanwhile", func(_ *rig, p *pipe) { p.revoked = new(event.TokenRevoked) }, []string{"101", "close token_revoked"}},
		{"kicked at once", func(r *rig, _ *pipe) {
			r.post(command{do: func(s *state) { s.kick("g", "", event.GatewayRemoved) }})
		}, []string{"101", "ack", "close gateway_removed"}},
		{"pinged at once", func(r *rig, p *pipe) {
			r.post(command{do: func(*state) { p.receiver.Reply([]byte("pong\n")) }})
		}, []string{"101", "ack", "pong"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(Config{})
			p := r.connectingWith("101\n", "g")
			c.do(r, p)
			r.settle()
			if diff := cmp.Diff(c.want, p.lines()); diff != "" || p.writes != 1 {
				t.Errorf("%d writes: %s", p.writes, diff)
			}
		})
	}
}

// A connection begins at its ack's cursor, which includes what was dispatched before,
// to whichever shard.
func TestAckCursorFollowsTheLog(t *testing.T) {
	r := newRig(Config{})
	r.connect("g")
	r.publish(to("g"))
	r.settle()
	r.pendingTo = 150 // events for other shards
	r.settle()
	p := r.connect("g")
	if got := p.receiver.(*conn).cursor(); got.Seq != 150 {
		t.Errorf("the connection begins at %v, want 7-150", got)
	}
}

func TestDelivery(t *testing.T) {
	r := newRig(Config{})
	a1, a2 := r.connect("a", "eu", "us"), r.connect("a", "eu", "us")
	b, c := r.connect("b", "eu"), r.connect("c")
	one := r.publish(to("a"))
	eu := r.publish(event.Target{Group: "eu"})
	r.publish(event.Target{Group: "nobody"})
	all := r.publish(event.Target{All: true})
	two := r.publish(to("b", "c"))
	r.settle()
	for name, want := range map[*pipe][]string{
		a1: {one, eu, all}, a2: {one, eu, all}, b: {eu, all, two}, c: {all, two},
	} {
		if diff := cmp.Diff(want, name.events()); diff != "" {
			t.Error(diff)
		}
	}
	if n := r.stats.Delivered.Load(); n != 11 {
		t.Errorf("%d delivered, want 11", n)
	}
}

// Everything queued in a turn goes out in one write.
func TestTurnWritesOnce(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	before := p.writes
	for range 40 {
		r.publish(to("g"))
	}
	r.settle()
	if n := p.writes - before; n != 1 || len(p.events()) != 40 {
		t.Errorf("%d events in %d writes, want 40 in 1", len(p.events()), n)
	}
}

// A turn flushes what it touches; a ring would cause an idle turn.
func TestTurnDoesNotRing(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	r.publish(to("g"))
	if turns := r.settle(); turns != 1 || r.rings != 0 {
		t.Errorf("%d turns, %d rings, want 1 and none", turns, r.rings)
	}
	p.receiver.Reply([]byte("pong\n")) // outside a turn
	if r.rings != 1 {
		t.Errorf("%d rings for a reply, want 1", r.rings)
	}
}

func TestWorkOfATurnIsBounded(t *testing.T) {
	r := newRig(Config{})
	var pipes []*pipe
	for i := range 3 * maxFlushes {
		pipes = append(pipes, r.connecting(fmt.Sprint(i)))
	}
	r.settle()
	const events = 150 // to 1536 connections: several turns' worth, and less than maxGather of them
	for range events {
		r.publish(event.Target{All: true})
	}
	if turns := r.settle(); turns < events*len(pipes)/maxAppends+len(pipes)/maxFlushes {
		t.Errorf("everything was done in %d turns", turns)
	}
	for _, p := range pipes {
		if len(p.events()) != events || !slices.IsSorted(p.events()) {
			t.Fatalf("events = %v", p.events())
		}
		if p.writes != 2 { // the ack, and the burst, although it took several turns to append
			t.Fatalf("%d writes", p.writes)
		}
	}
}

// Connections are written even if the inbox is never empty.
func TestGatheringEnds(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	r.publish(to("g"))
	for turns := 0; len(p.events()) == 0; turns++ {
		if turns > maxGather {
			t.Fatalf("nothing is written in %d turns", turns)
		}
		for range 2 * maxAppends / fixedCost {
			r.post(command{do: func(*state) {}})
		}
		r.turn(r.time)
	}
}

// An event for a gateway without a connection is in the window when the gateway
// connects.
func TestNoConnection(t *testing.T) {
	r := newRig(Config{})
	id := r.publish(to("ghost"))
	r.settle()
	if r.count(DeliveryFailed) != 0 {
		t.Errorf("notices = %+v", r.notices)
	}
	p := r.resume(100, "ghost")
	if diff := cmp.Diff([]string{"ack", id}, p.lines()); diff != "" {
		t.Error(diff)
	}
}

func TestPartialWritesKeepOrder(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	p.room = 0
	var want []string
	for range 300 {
		want = append(want, r.publish(to("g")))
	}
	r.settle()
	for p.receiver.(*conn).pending() > 0 {
		p.give(5)
		r.settle()
	}
	if diff := cmp.Diff(want, p.events()); diff != "" {
		t.Error(diff)
	}
	if got := r.stats.QueuedBytes.Load(); got != 0 {
		t.Errorf("%d bytes still counted as queued", got)
	}
}

func TestSlowConsumerByBytes(t *testing.T) {
	r := newRig(Config{SendQueueBytes: 100})
	slow, other := r.connect("g"), r.connect("g")
	slow.room = 3
	for range 40 {
		r.publish(to("g"))
	}
	r.settle()
	if n := len(other.events()); n != 40 {
		t.Errorf("the other connection got %d events, want 40", n)
	}
	if slow.closed > 0 {
		t.Error("closed without a close frame")
	}
	slow.give(unlimited) // it reads again: the event begun, and the close frame
	lines := slow.lines()
	if last := lines[len(lines)-1]; last != "close slow_consumer" {
		t.Errorf("last line = %q", last)
	}
	slow.receiver.PeerClosed([]byte("reply\n"))
	r.settle()
	if slow.closed != 1 || slow.released != 1 || other.closed != 0 {
		t.Errorf("closed %d times, released %d times; the other %d times", slow.closed, slow.released, other.closed)
	}
	// Three bytes of the first event were taken; with the other three and sixteen
	// more events the queue has 99 bytes, and the eighteenth event finds no room.
	if n := len(slow.events()); n != 1 {
		t.Errorf("the slow connection got %d events, want the one begun", n)
	}
	if n := r.stats.Failed.Load(int(event.FailedSlowConsumer)); n != 17 {
		t.Errorf("%d deliveries failed, want 17", n)
	}
	if n := r.stats.Delivered.Load(); n != 41 {
		t.Errorf("%d deliveries counted, want 41", n)
	}
}

func TestSlowConsumerByTime(t *testing.T) {
	r := newRig(Config{StallTimeout: 10 * time.Second})
	p := r.connect("g")
	p.room = 2
	r.publish(to("g"))
	r.settle()
	r.wait(9 * time.Second)
	p.give(1) // slow progress
	r.wait(9 * time.Second)
	if p.receiver.(*conn).state != open {
		t.Fatal("closed although it moved")
	}
	r.wait(2 * time.Second)
	if p.receiver.(*conn).state != closing {
		t.Fatal("still open although nothing moved for ten seconds")
	}
	r.wait(6 * time.Second) // the close frame makes none either
	if d := r.lastDisconnect(t); p.closed != 1 || d.Disconnect != event.SlowConsumer {
		t.Errorf("closed %d times, disconnect = %v", p.closed, d.Disconnect)
	}
}

func TestHeartbeat(t *testing.T) {
	r := newRig(Config{PingInterval: 20 * time.Second, Timeout: 30 * time.Second})
	alive, vanished := r.connect("a"), r.connect("b")
	for range 13 { // over a minute, answering
		r.wait(5 * time.Second)
		alive.receiver.Alive()
		r.publish(to("a")) // other traffic changes nothing
		r.settle()
		if r.time.Sub(time.Unix(1_000_000, 0)) < 30*time.Second && vanished.closed > 0 {
			t.Fatal("closed before its time")
		}
	}
	pings := 0
	for _, l := range alive.lines() {
		if l == "ping" {
			pings++
		}
	}
	if pings != 3 {
		t.Errorf("%d pings in 65 s, want 3", pings)
	}
	if vanished.closed != 1 || r.lastDisconnect(t).Disconnect != event.HeartbeatTimeout {
		t.Errorf("the silent one was closed %d times, for %v", vanished.closed, r.lastDisconnect(t).Disconnect)
	}
	if lived := r.lastDisconnect(t).Duration; lived < 30*time.Second || lived > 30*time.Second+2*tick {
		t.Errorf("closed after %v of silence, want 30s", lived)
	}
	if alive.closed != 0 {
		t.Error("the living one was closed")
	}
}

// While the whole process is stopped, the peers' silence does not count.
func TestStoppedProcessClosesNothing(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	r.wait(time.Second)
	r.time = r.time.Add(10 * time.Minute)
	r.tick(r.time)
	r.settle()
	if p.closed != 0 {
		t.Fatal("closed for the process's own silence")
	}
	r.wait(29 * time.Second)
	if p.closed != 0 {
		t.Fatal("closed before thirty seconds of silence")
	}
	r.wait(2 * time.Second)
	if p.closed != 1 {
		t.Error("not closed after thirty seconds of silence")
	}
}

// A ping does not wait behind the queue, or a slow reader would look dead.
func TestPingBeforeTheQueue(t *testing.T) {
	r := newRig(Config{PingInterval: time.Second, StallTimeout: time.Hour})
	p := r.connect("g")
	p.room = 3
	for range 20 {
		r.publish(to("g"))
	}
	r.settle()
	r.wait(1100 * time.Millisecond)
	p.give(unlimited)
	r.settle()
	if i := slices.Index(p.lines(), "ping"); i != 2 { // the ack, the event begun, then the ping
		t.Errorf("the ping is line %d of %d", i, len(p.lines()))
	}
	if events := p.events(); len(events) != 20 || !slices.IsSorted(events) {
		t.Errorf("events %v", events)
	}
}

// Only the latest of many pings is answered, so that they cannot fill the queue.
func TestPongFlood(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	p.room = 0
	for i := range 1000 {
		p.receiver.Reply(fmt.Appendf(nil, "pong %d\n", i))
		r.settle()
	}
	p.give(unlimited)
	r.settle()
	if lines := p.lines(); len(lines) > 3 || lines[len(lines)-1] != "pong 999" {
		t.Errorf("lines = %q", lines)
	}
}

func TestKick(t *testing.T) {
	r := newRig(Config{})
	a, b, other := r.connect("g"), r.connect("g"), r.connect("h")
	r.publish(to("g", "h")) // queued, and dropped by the kick
	r.post(command{do: func(s *state) { s.kick("g", "another token", event.TokenRevoked) }})
	r.settle()
	if len(a.lines()) != 2 {
		t.Fatal("kicked by another's token")
	}
	r.post(command{do: func(s *state) { s.kick("g", "token of g", event.TokenRevoked) }})
	r.settle()
	for _, p := range []*pipe{a, b} {
		if lines := p.lines(); lines[len(lines)-1] != "close token_revoked" {
			t.Errorf("lines = %q", lines)
		}
		if p.live.Load() != 0 {
			t.Error("still counted as live")
		}
	}
	r.publish(to("g"))
	r.settle()
	if lines := a.lines(); lines[len(lines)-1] != "close token_revoked" {
		t.Error("an event reached a kicked gateway")
	}
	r.wait(6 * time.Second) // nobody answers the close frame
	if a.closed != 1 || b.closed != 1 || other.closed != 0 {
		t.Errorf("closed %d, %d, other %d times", a.closed, b.closed, other.closed)
	}
}

// A token that is revoked while its connection opens closes it before the ack.
func TestRevokedWhileConnecting(t *testing.T) {
	r := newRig(Config{})
	p := r.connecting("g")
	p.revoked = new(event.TokenRevoked)
	r.settle()
	if diff := cmp.Diff([]string{"close token_revoked"}, p.lines()); diff != "" {
		t.Error(diff)
	}
}

func TestPeerSaysGoodbye(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	p.receiver.PeerClosed([]byte("reply\n"))
	r.settle()
	if diff := cmp.Diff([]string{"ack", "reply"}, p.lines()); diff != "" {
		t.Error(diff)
	}
	if !p.shut || p.closed != 1 || p.released != 1 || r.lastDisconnect(t).Disconnect != event.PeerClosed {
		t.Errorf("shut %v, closed %d, released %d: %v", p.shut, p.closed, p.released, r.lastDisconnect(t).Disconnect)
	}
}

func TestViolation(t *testing.T) {
	r := newRig(Config{})
	p := r.connect("g")
	p.receiver.Violation(event.ProtocolError, "no mask", []byte("close 1002\n"))
	r.settle()
	if diff := cmp.Diff([]string{"ack", "close 1002"}, p.lines()); diff != "" {
		t.Error(diff)
	}
	if !p.shut || p.closed != 0 {
		t.Errorf("shut %v, closed %d: want the peer to have a moment to read", p.shut, p.closed)
	}
	r.wait(lingerTimeout + tick)
	if d := r.lastDisconnect(t); p.closed != 1 || d.Disconnect != event.ProtocolError || d.Detail != "no mask" {
		t.Errorf("closed %d times: %v, %s", p.closed, d.Disconnect, d.Detail)
	}
}

func TestLost(t *testing.T) {
	for name, err := range map[string]error{"end of file": nil, "reset": errors.New("connection reset")} {
		t.Run(name, func(t *testing.T) {
			r := newRig(Config{})
			p := r.connect("g")
			p.room = 0
			r.publish(to("g"))
			r.settle()
			p.receiver.Lost(err)
			if p.closed != 1 || p.released != 1 || r.stats.Failed.Load(int(event.FailedLost)) != 1 {
				t.Errorf("closed %d, released %d, failed %d", p.closed, p.released, r.stats.Failed.Load(int(event.FailedLost)))
			}
			r.settle()
		})
	}
}

func TestOpenFails(t *testing.T) {
	r := newRig(Config{})
	p := r.connecting("g")
	p.fail = errors.New("no descriptor")
	r.settle()
	if p.released != 1 || r.conns.len() != 0 || len(r.gateways) != 0 {
		t.Errorf("released %d times, %d connections, %d gateways", p.released, r.conns.len(), len(r.gateways))
	}
}

func TestInboundMessages(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       event.MessageKind
		closes     bool
	}{
		{name: "event ack", text: `{"type":"event.ack","id":"7-1"}`, want: event.EventAck},
		{name: "deployment ack", text: `{"type":"deployment.ack","payload":{}}`, want: event.DeploymentAck},
		{name: "unknown type", text: `{"type":"weather"}`, want: event.UnknownMessage},
		{name: "type of another kind", text: `{"type":5}`, want: event.UnknownMessage},
		{name: "not an object", text: `[1]`, want: event.UnknownMessage},
		{name: "not JSON", text: `{"type":`, closes: true},
		{name: "empty", text: ``, closes: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(Config{})
			p := r.connect("g")
			p.receiver.Message([]byte(c.text))
			r.settle()
			if closes := p.receiver.(*conn).state != open; closes != c.closes {
				t.Fatalf("closes = %v, want %v", closes, c.closes)
			}
			if !c.closes && r.stats.Received.Load(int(c.want)) != 1 {
				t.Errorf("not counted as %v", c.want)
			}
		})
	}
}

func TestDrainSpreadsCloses(t *testing.T) {
	r := newRig(Config{})
	var pipes []*pipe
	for i := range 100 {
		pipes = append(pipes, r.connect(fmt.Sprint(i)))
	}
	last := r.publish(event.Target{All: true})
	done := make(chan struct{}, 1)
	r.post(command{do: func(s *state) {
		s.drain = &drainPlan{start: s.now, over: 10 * time.Second, total: s.conns.len(), done: done}
	}})
	r.settle()
	r.wait(5 * time.Second)
	closes := 0
	for _, p := range pipes {
		if p.receiver.(*conn).state != open {
			closes++
			p.receiver.PeerClosed(nil)
		}
	}
	if closes < 45 || closes > 55 {
		t.Errorf("%d of 100 closed at half time", closes)
	}
	late := r.connect("late")
	r.wait(6 * time.Second)
	for _, p := range append(pipes, late) {
		p.receiver.PeerClosed(nil)
	}
	r.wait(time.Second)
	select {
	case <-done:
	default:
		t.Error("the drain does not end")
	}
	for _, p := range pipes {
		if diff := cmp.Diff([]string{"ack", last, "close shutdown"}, p.lines()); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestPages(t *testing.T) {
	r := newRig(Config{})
	ids := map[string]bool{}
	for i := range 25 {
		p := r.connect(fmt.Sprint(i % 5))
		ids[p.receiver.(*conn).id.String()] = true
	}
	r.conns.items[3].finish(event.Kicked, "") // a free slot
	delete(ids, "")
	seen := 0
	for slot := 0; slot >= 0; {
		var page []stats.Connection
		page, slot = r.page(nil, slot, 7)
		seen += len(page)
		for _, c := range page {
			if !ids[c.ConnectionID.String()] {
				t.Errorf("%v twice, or unknown", c.ConnectionID)
			}
			delete(ids, c.ConnectionID.String())
		}
	}
	if seen != 24 {
		t.Errorf("%d connections on the pages, want 24", seen)
	}
	page, next := r.pageOf("4", 0, 3)
	if len(page) != 3 || next < 0 {
		t.Fatalf("page of %d, next %d", len(page), next)
	}
	if page, next = r.pageOf("4", next, 3); len(page) != 2 || next != -1 {
		t.Errorf("second page of %d, next %d", len(page), next)
	}
}

// Nothing is allocated per delivery from the inbox to the transport.
func TestDeliveryAllocatesNothing(t *testing.T) {
	if testenv.Race {
		t.Skip("allocations cannot be counted under the race detector")
	}
	r := newRig(Config{})
	const conns = 100
	for i := range conns {
		p := &pipe{room: unlimited, live: new(atomic.Int32)}
		registration := p.registration(fmt.Sprint(i), "x")
		registration.Peer.OrganizationID = "acme"
		r.post(command{register: registration})
		p.deflates = i%2 == 1 // gateway 7 too
		p.wrote.Grow(1 << 20)
	}
	r.settle()
	for name, cmd := range map[string]command{
		"all": {to: receivers{scope: toAll}}, "one": {to: receivers{gateways: []string{"7"}}},
		"group": {to: receivers{scope: toGroup, name: "x"}}, "organization": {to: receivers{scope: toOrganization, name: "acme"}},
	} {
		messages := make([]*Message, 500) // made before: an event can allocate, a delivery must not
		for i := range messages {
			r.seq++
			messages[i] = &Message{Wire: []byte("7-999\n"), Deflated: []byte("z\n"), Cursor: event.Cursor{Epoch: 7, Seq: r.seq}}
		}
		allocs := testing.AllocsPerRun(len(messages)/2-1, func() {
			for range 2 {
				cmd.message, messages = messages[0], messages[1:]
				r.post(cmd)
			}
			r.settle()
		})
		if allocs > 0 {
			t.Errorf("%s: two events allocate %v times", name, allocs)
		}
	}
}
