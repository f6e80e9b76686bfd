// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A logged is an event in a test's log.
type logged struct {
	message *Message
	target  event.Target
}

// A logRig is a rig with a log, so that positions can be before the window.
type logRig struct {
	*rig
	log   []logged // every event ever published
	first uint64   // the oldest one retained
	asked int      // how often a scan was requested
}

func newLogRig(cfg Config) *logRig {
	r := &logRig{first: 101}
	cfg.requestScan = func() { r.asked++ }
	r.rig = newRig(cfg)
	return r
}

// publishKey publishes an event with a key.
func (r *logRig) publishKey(t event.Target, key string) string {
	r.seq++
	c := event.Cursor{Epoch: 7, Seq: r.seq}
	m := &Message{Wire: fmt.Appendf(nil, "%v\n", c), Cursor: c, Key: key, Published: r.time.UnixNano()}
	r.log = append(r.log, logged{m, t})
	r.post(command{message: m, to: receiversOf(t)})
	return c.String()
}

func (r *logRig) publish(t event.Target) string { return r.publishKey(t, "") }

// scanPage reads one page of at most the given number of events, from the lowest
// position that waits for one. It reports whether there was one.
func (r *logRig) scanPage(events int) bool {
	r.settle()
	after, ok := r.minOffset()
	if !ok {
		return false
	}
	done := make(chan int, 1)
	p := &page{history: newHistory(after), lineage: r.lineage, done: done}
	if after+1 < r.first {
		p.lost, p.upTo = true, r.first-1
	} else {
		for _, e := range r.log {
			if seq := e.message.Cursor.Seq; seq > after && events > 0 {
				p.add(receiversOf(e.target), e.message)
				events--
			}
		}
	}
	r.post(command{page: p})
	r.settle()
	r.evictReaders(p)
	<-done // if closePage sends nothing, the test hangs
	r.settle()
	return true
}

// scan reads pages until no connection with room waits for one.
func (r *logRig) scan(events int) {
	for range 10_000 {
		if !r.scanPage(events) {
			return
		}
	}
	panic("the scan does not end")
}

// received returns what arrived: the ids of events, and the type and content of other
// messages.
func (p *pipe) received() (lines []string) {
	whole, _, _ := cutLast(p.wrote.String(), "\n")
	for line := range strings.Lines(whole + "\n") {
		line = strings.TrimSuffix(line, "\n")
		text, ok := strings.CutPrefix(line, "ack ")
		var m struct {
			Type, Reason, Cursor string
			Resumed              bool
		}
		switch {
		case line == "":
		case ok && json.Unmarshal([]byte(text), &m) == nil && m.Type == "connection.ack":
			lines = append(lines, fmt.Sprintf("ack %s %v", m.Cursor, m.Resumed))
		case ok:
			lines = append(lines, fmt.Sprintf("resync %s %s", m.Reason, m.Cursor))
		default:
			lines = append(lines, line)
		}
	}
	return lines
}

func TestResume(t *testing.T) {
	for _, c := range []struct {
		name string
		from Resume
		want []string
	}{
		{"from the window", Resume{After: 101}, []string{"ack 7-101 true", "7-102", "7-104", "7-105", "7-106"}},
		{"nothing missed", Resume{After: 105}, []string{"ack 7-105 true", "7-106"}},
		{"ahead of this node", Resume{After: 106}, []string{"ack 7-106 true"}},
		{"unknown", Resume{ResyncReason: ResyncUnknown}, []string{"ack 7-105 false", "resync unknown_position 7-105", "7-106"}},
		{"older than the log", Resume{After: 42, Oldest: 90}, []string{"ack 7-105 false", "resync not_retained 7-105", "7-106"}},
		{"older than the log, but in the window", Resume{After: 101, Oldest: 104}, []string{"ack 7-101 true", "7-102", "7-104", "7-105", "7-106"}},
		{"newest of each key", Resume{After: 100, Latest: true}, []string{"ack 7-100 true", "7-101", "7-104", "7-105", "7-106"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newLogRig(Config{})
			r.publish(to("g"))
			r.publishKey(event.Target{All: true}, "k")
			r.publish(to("other"))
			r.publishKey(event.Target{Group: "x"}, "k")
			r.publish(to("a", "g"))
			p := r.resuming(&c.from, "g", "x")
			r.settle()
			r.publish(to("g"))
			r.settle()
			if diff := cmp.Diff(c.want, p.received()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Upgrade response, ack and missed events leave in the turn that registers the
// connection, in one write.
func TestResumeInOneWrite(t *testing.T) {
	r := newLogRig(Config{})
	for range 100 {
		r.publish(to("g"))
	}
	p := r.resume(100, "g")
	if n := len(p.events()); n != 100 || p.writes != 1 {
		t.Errorf("%d events in %d writes", n, p.writes)
	}
	if n := r.stats.Replayed.Load(); n != 100 {
		t.Errorf("%d replayed events counted", n)
	}
	if _, count, _ := r.stats.Latency.Snapshot(); count != 0 {
		t.Error("how late they are was measured as the server's latency")
	}
}

// Missed events wait in the window for the socket: only some of them are queued, and
// events published meanwhile follow them.
func TestReplayIsPacedByTheSocket(t *testing.T) {
	r := newLogRig(Config{SendQueueBytes: 100})
	var want []string
	for range 200 {
		want = append(want, r.publish(to("g")))
	}
	r.settle()
	p := r.resuming(&Resume{After: 100}, "g")
	p.room = 300
	r.settle()
	for len(p.events()) < 200 {
		want = append(want, r.publish(to("g")))
		r.settle()
		if q := r.stats.QueuedBytes.Load(); q > 300 {
			t.Fatalf("%d bytes queued", q)
		}
		p.give(60)
		r.settle()
	}
	p.give(unlimited)
	r.settle()
	if diff := cmp.Diff(want, p.events()); diff != "" {
		t.Error(diff)
	}
}

// Scans serve a connection whose position is before the window, however large their
// pages are, while others are live.
func TestScan(t *testing.T) {
	for _, events := range []int{1, 7, 1000} {
		t.Run(fmt.Sprint(events), func(t *testing.T) {
			r := newLogRig(Config{ReplayMemory: 3000})
			live := r.connect("other")
			var want []string
			for i := range 100 {
				if id := r.publish(to([]string{"g", "other"}[i%2])); i%2 == 0 {
					want = append(want, id)
				}
			}
			p := r.resume(100, "g")
			if r.asked == 0 || len(p.events()) > 0 {
				t.Fatalf("asked %d times, %d events", r.asked, len(p.events()))
			}
			r.publish(to("other"))
			r.scan(events)
			if diff := cmp.Diff(want, p.events()); diff != "" {
				t.Error(diff)
			}
			if n := len(live.events()); n != 51 {
				t.Errorf("the other got %d events", n)
			}
			if n := r.scanWaiters.len(); n != 0 {
				t.Errorf("%d connections still wait for a scan", n)
			}
		})
	}
}

// A connection that does not read holds no page, and gets the rest later.
func TestSlowReaderOfAScan(t *testing.T) {
	r := newLogRig(Config{ReplayMemory: 3000, SendQueueBytes: 100})
	for range 100 {
		r.publish(to("g", "fast"))
	}
	r.settle()
	slow := r.resuming(&Resume{After: 100}, "g")
	slow.room = 250
	fast := r.resume(100, "fast")
	r.scan(10)
	if n := len(fast.events()); n != 100 {
		t.Errorf("the fast one has %d events", n)
	}
	if n := len(slow.events()); n == 0 || n == 100 {
		t.Errorf("the slow one has %d events", n)
	}
	for range 1000 {
		slow.give(50)
		r.scan(10)
	}
	if n := len(slow.events()); n != 100 {
		t.Errorf("the slow one has %d events in the end", n)
	}
}

// When the log has lost events that this node has not seen, every gateway gets
// resync.required.
func TestMarkLost(t *testing.T) {
	r := newLogRig(Config{})
	before, ahead := r.connect("g"), r.resume(120, "g")
	r.post(command{do: func(s *state) { s.skip(110) }})
	r.seq = 120
	id := r.publish(to("g"))
	r.settle()
	if diff := cmp.Diff([]string{"ack 7-100 false", "resync not_retained 7-110", id}, before.received()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ack 7-120 true", id}, ahead.received()); diff != "" {
		t.Error(diff)
	}
}

// Progress is reported in spans that touch, up to what was written, also for
// connections that have ended.
func TestProgressIsReported(t *testing.T) {
	var got []string
	r := newRig(Config{Report: func(rep Report) {
		for _, g := range rep.Starts {
			got = append(got, fmt.Sprintf("%s began at %d, resumed %v", g.GatewayID, g.After, g.Resumed))
		}
		for _, p := range rep.Progress {
			got = append(got, fmt.Sprintf("%s %d-%d", p.GatewayID, p.From, p.To))
		}
	}})
	p := r.connect("g")
	r.publish(to("other"))
	r.publish(to("g"))
	r.wait(2 * reportEvery)
	p.receiver.Alive()
	r.publish(to("g"))
	r.settle()
	p.receiver.Lost(nil)
	r.wait(2 * reportEvery)
	r.resume(102, "g")
	r.wait(2 * reportEvery)
	r.resuming(&Resume{After: 1, Oldest: 90}, "g") // which is not retained
	r.settle()
	want := []string{
		"g began at 100, resumed false", "g 100-102", "g 102-103",
		"g began at 102, resumed true", "g 102-103",
		"g began at 103, resumed false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The start of a connection is reported together with the progress of its gateway's
// other connections. So what they received before is known, whatever happens to this
// process.
func TestOthersAreReportedWhenOneBegins(t *testing.T) {
	var got []string
	r := newRig(Config{Report: func(rep Report) {
		for _, p := range rep.Progress {
			got = append(got, fmt.Sprintf("%s %d-%d", p.GatewayID, p.From, p.To))
		}
		for _, g := range rep.Starts {
			got = append(got, fmt.Sprintf("%s began at %d", g.GatewayID, g.After))
		}
	}})
	r.connect("g")
	r.connect("other")
	for range 3 {
		r.publish(to("g"))
		r.publish(to("other"))
	}
	r.settle()
	r.connect("g")
	r.settle()
	want := []string{"g began at 100", "other began at 100", "g 100-105", "g began at 106"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A catchUpModel drives a shard with a small window and a log that is trimmed, with
// connections that resume from anywhere and read at any pace.
type catchUpModel struct {
	*logRig
	conns    []*catchUpConn
	barriers map[string]Barrier // by gateway
}

// drawBarriers gives gateways barriers, some of them after what the shard has reached.
func drawBarriers(t *rapid.T) map[string]Barrier {
	seq := rapid.Uint64Range(100, 160)
	barriers := make(map[string]Barrier)
	for id, groups := range modelGroups {
		b := Barrier{Own: seq.Draw(t, "own"), All: seq.Draw(t, "all")}
		if rapid.Bool().Draw(t, "joined its organization later") {
			b.Organization = seq.Draw(t, "organization")
		}
		if rapid.Bool().Draw(t, "groups have their own") {
			for range groups {
				b.Groups = append(b.Groups, seq.Draw(t, "group"))
			}
		}
		if rapid.Bool().Draw(t, "has barriers") {
			barriers[id] = b
		}
	}
	return barriers
}

type catchUpConn struct {
	*modelConn
	after   uint64 // the position it resumed from
	barrier Barrier
	latest  bool
	ended   bool
}

// wants reports whether an event is for the connection's gateway.
func (c *catchUpConn) wants(e logged) bool {
	barrier := c.barrier.Own
	switch {
	case !c.isFor(e.target):
		return false
	case e.target.All:
		barrier = c.barrier.All
	case e.target.Group != "":
		barrier = c.barrier.group(slices.Index(c.groups, e.target.Group))
	case e.target.OrganizationID != "":
		barrier = max(c.barrier.All, c.barrier.Organization)
	}
	return e.message.Cursor.Seq > barrier
}

func (m *catchUpModel) steps() map[string]func(*rapid.T) {
	gateways := []string{"a", "b", "c"}
	return map[string]func(*rapid.T){
		"publish": func(t *rapid.T) {
			target := rapid.SampledFrom(modelTargets).Draw(t, "target")
			key := rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(t, "key")
			for range rapid.IntRange(1, 20).Draw(t, "times") {
				m.publishKey(target, key)
			}
		},
		"resume": func(t *rapid.T) {
			m.settle() // what the ack says depends on it
			gateway := rapid.SampledFrom(gateways).Draw(t, "gateway")
			c := &catchUpConn{modelConn: &modelConn{gateway: gateway, groups: modelGroups[gateway], org: modelOrganizations[gateway]}}
			c.latest = rapid.Bool().Draw(t, "latest")
			c.barrier = m.barriers[gateway]
			from := &Resume{After: rapid.Uint64Range(100, m.seq+3).Draw(t, "after"), Latest: c.latest, Oldest: m.first}
			c.after = max(from.After, c.barrier.lowest())
			if rapid.IntRange(0, 4).Draw(t, "without a position") == 0 {
				from, c.latest, c.after = nil, false, max(m.seq, c.barrier.lowest())
			}
			c.pipe = &pipe{room: unlimited, live: new(atomic.Int32)}
			registration := c.registration(gateway, c.groups...)
			registration.Resume, registration.Peer.Barrier, registration.Peer.OrganizationID = from, c.barrier, c.org
			m.post(command{register: registration})
			c.seal = rapid.SampledFrom([]int{0, 10, 60}).Draw(t, "seal")
			c.room = rapid.SampledFrom([]int{unlimited, unlimited, 0, 40, 500}).Draw(t, "room")
			m.conns = append(m.conns, c)
			m.settle()
		},
		"trim": func(t *rapid.T) {
			m.first = rapid.Uint64Range(m.first, m.seq+1).Draw(t, "first")
		},
		"turn":   func(t *rapid.T) { m.turn(m.time) },
		"settle": func(t *rapid.T) { m.settle() },
		"scan":   func(t *rapid.T) { m.scanPage(rapid.IntRange(1, 30).Draw(t, "events")) },
		"read": func(t *rapid.T) {
			if c := m.any(t); c != nil && c.receiver != nil {
				c.give(rapid.IntRange(1, 300).Draw(t, "bytes"))
			}
		},
		"lose": func(t *rapid.T) {
			if c := m.any(t); c != nil && c.receiver != nil && c.closed == 0 {
				c.ended = true
				c.receiver.Lost(nil)
			}
		},
		"": m.check,
	}
}

func (m *catchUpModel) any(t *rapid.T) *catchUpConn {
	if len(m.conns) == 0 {
		return nil
	}
	return rapid.SampledFrom(m.conns).Draw(t, "connection")
}

// check checks, after every step, that each event that arrived is the next one of the
// log for its gateway, except for superseded ones and after a resync.
func (m *catchUpModel) check(t *rapid.T) {
	for i, c := range m.conns {
		if _, err := m.follow(c); err != nil {
			t.Fatalf("connection %d of %s from %d (latest %v): %v in %q", i, c.gateway, c.after, c.latest, err, c.received())
		}
	}
}

// follow walks through what a connection received, and returns what it should receive
// next.
func (m *catchUpModel) follow(c *catchUpConn) (next []logged, err error) {
	at := c.after
	for i, line := range c.received() {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "ack" && i == 0:
		case word == "close" || word == "ping":
		case word == "resync":
			_, position, _ := strings.Cut(rest, " ")
			cursor, err := event.ParseCursor(position)
			if err != nil || cursor.Seq < at {
				return nil, fmt.Errorf("a resync to %q after %d", position, at)
			}
			at = cursor.Seq
		default:
			cursor, err := event.ParseCursor(line)
			if err != nil {
				return nil, fmt.Errorf("%q", line)
			}
			want := m.missing(c, at, cursor.Seq)
			if len(want) != 1 || want[0].message.Cursor != cursor {
				return nil, fmt.Errorf("%v after %d, where %v was next", cursor, at, want)
			}
			at = cursor.Seq
		}
	}
	return m.missing(c, at, m.seq), nil
}

// missing returns the events for a connection's gateway between two sequences that must
// not be left out.
func (m *catchUpModel) missing(c *catchUpConn, after, upTo uint64) (list []logged) {
	for i, e := range m.log {
		if seq := e.message.Cursor.Seq; seq <= after || seq > upTo || !c.wants(e) {
			continue
		}
		newer := func(n logged) bool { return n.message.Key == e.message.Key && c.wants(n) }
		if c.latest && e.message.Key != "" && e.message.Cursor.Seq < upTo && slices.ContainsFunc(m.log[i+1:], newer) {
			continue
		}
		list = append(list, e)
	}
	return list
}

// finish lets everything settle: then no event is missing.
func (m *catchUpModel) finish(t *rapid.T) {
	for range 3 {
		for _, c := range m.conns {
			if c.closed == 0 {
				c.room = unlimited
				c.give(1)
			}
		}
		m.scan(50)
	}
	m.check(t)
	for i, c := range m.conns {
		if c.ended || c.receiver.(*conn).state != open {
			continue
		}
		next, _ := m.follow(c)
		if n := slices.IndexFunc(next, func(e logged) bool { return !c.latest || e.message.Key == "" }); n >= 0 {
			t.Fatalf("connection %d of %s from %d misses %v; it got %q", i, c.gateway, c.after, next[n].message.Cursor, c.received())
		}
		if cn := c.receiver.(*conn); cn.out != nil {
			t.Fatalf("connection %d of %s is not at rest", i, c.gateway)
		}
	}
	if n := m.scanWaiters.len(); n != 0 {
		t.Fatalf("%d connections still wait for a scan", n)
	}
	if resyncs := m.stats.Resyncs.Load(); resyncs > 0 && m.first == 101 {
		t.Fatalf("%d resyncs of a log that lost nothing", resyncs)
	}
}

// Whatever is published, trimmed, read slowly or lost while connections resume from
// anywhere: each gets every event after its position and its gateway's barriers once
// and in order, or resync.required.
func TestPropertyCatchUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &catchUpModel{logRig: newLogRig(Config{
			SendQueueBytes: 200, ReplayMemory: rapid.SampledFrom([]int{1, 1000, 10_000, 1 << 20}).Draw(t, "window"),
			StallTimeout: time.Hour, PingInterval: time.Hour, Timeout: 2 * time.Hour,
		}), barriers: drawBarriers(t)}
		t.Repeat(m.steps())
		m.finish(t)
	})
}

func TestParseInbound(t *testing.T) {
	ack := event.Cursor{Epoch: 7, Seq: 42}
	for _, c := range []struct {
		name, text string
		ok         bool
		want       Inbound
	}{
		{"ack", `{"type":"event.ack","id":"7-42"}`, true, Inbound{Kind: event.EventAck, Event: ack, Answers: true}},
		{"ack in other words", ` {"id":"7-42", "type":"event.ack","status":"applied","new":1}`, true, Inbound{Kind: event.EventAck, Event: ack, Answers: true, Status: "applied"}},
		{"failed", `{"type":"event.ack","id":"7-42","status":"failed","error":"no room"}`, true, Inbound{Kind: event.EventAck, Event: ack, Answers: true, Failed: true, Status: "failed", Error: "no room"}},
		{"in between", `{"type":"event.ack","id":"7-42","status":"in_progress"}`, true, Inbound{Kind: event.EventAck, Event: ack, Status: "in_progress"}},
		{"completed", `{"type":"deployment.ack","payload":{"deploymentId":"d1","status":"completed","performedAt":"2026-01-02T03:04:05Z"}}`, true,
			Inbound{Kind: event.DeploymentAck, DeploymentID: "d1", PerformedAt: "2026-01-02T03:04:05Z", Answers: true, Status: "completed", Payload: json.RawMessage(`{"deploymentId":"d1","status":"completed","performedAt":"2026-01-02T03:04:05Z"}`)}},
		{"of no event", `{"type":"event.ack","id":"x"}`, true, Inbound{Kind: event.UnknownMessage}},
		{"deployment", `{"type":"deployment.ack","payload":{"deploymentId":"d1","status":"failed","errorCode":"E7"}}`, true,
			Inbound{Kind: event.DeploymentAck, DeploymentID: "d1", Answers: true, Failed: true, Status: "failed", Error: "E7", Payload: json.RawMessage(`{"deploymentId":"d1","status":"failed","errorCode":"E7"}`)}},
		{"deployment of another shape", `{"type":"deployment.ack","payload":[1]}`, true, Inbound{Kind: event.DeploymentAck, Answers: true, Payload: json.RawMessage(`[1]`)}},
		{"deployment of nothing", `{"type":"deployment.ack"}`, true, Inbound{Kind: event.DeploymentAck, Answers: true}},
		{"unknown", `{"type":"new"}`, true, Inbound{Kind: event.UnknownMessage}},
		{"no object", `[]`, true, Inbound{Kind: event.UnknownMessage}},
		{"a number for a name", `{"type":7}`, true, Inbound{Kind: event.UnknownMessage}},
		{"no JSON", `{"type":"event.ack","id":"7-42"`, false, Inbound{Kind: event.UnknownMessage}},
		{"no JSON after it", `{"type":"event.ack","id":"7-42"}}`, false, Inbound{Kind: event.UnknownMessage}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := parseInbound([]byte(c.text))
			if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
				t.Error(ok, diff)
			}
		})
	}
}
