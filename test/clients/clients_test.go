// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const connectPath = "/api/internal/v1/ws/gateways/connect"

// dial returns how a gateway with the token connects.
func (s *server) dial(token string) dial {
	return dial{URL: "wss://" + s.gateways + connectPath, APIKey: &token, CA: s.ca}
}

// An ack is the first frame on a connection.
type ack struct {
	Type, GatewayID, ConnectionID, Timestamp, Cursor string
	Resumed                                          *bool
}

// connect returns a connection after its ack.
func (s *server) connect(t *testing.T, d driver, g gateway) (*client, ack) {
	t.Helper()
	c := d.start(t, s.dial(g.Token))
	return c, c.acked(g)
}

// acked reads the ack.
func (c *client) acked(g gateway) (a ack) {
	c.t.Helper()
	c.expect("open")
	first := c.expect("message").Data
	if err := json.Unmarshal([]byte(first), &a); err != nil || a.Type != "connection.ack" || a.GatewayID != g.ID {
		c.t.Fatalf("want the ack of gateway %s first; got %s", g.ID, first)
	}
	return a
}

// An event is an event as a gateway receives it.
type event struct {
	ID, Type, GatewayID, Timestamp, CorrelationID string
	Payload                                       json.RawMessage
	size                                          int // bytes of its JSON
}

// event returns the next event.
func (c *client) event() (e event) {
	c.t.Helper()
	data := c.expect("message").Data
	if err := json.Unmarshal([]byte(data), &e); err != nil || e.ID == "" {
		c.t.Fatalf("want an event; got %.500s", data)
	}
	e.size = len(data)
	return e
}

// gets publishes an event and checks that it is the next one to arrive.
func (c *client) gets(s *server, g gateway) {
	c.t.Helper()
	want := s.publish(c.t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: "hello"})
	if e := c.event(); e.ID != want.ID || string(e.Payload) != `"hello"` {
		c.t.Fatalf("want event %s; got %+v", want.ID, e)
	}
}

var (
	uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	timePattern = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$`)
	idPattern   = regexp.MustCompile(`^([0-9a-z]+)-(\d+)$`)
)

func checkTime(t *testing.T, s string) {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !timePattern.MatchString(s) || time.Since(at).Abs() > time.Minute {
		t.Errorf("timestamp %q: want this minute, in UTC with nanoseconds (%v)", s, err)
	}
}

func TestAck(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		before := s.publish(t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: "before"})
		s.dispatched(t)
		c := d.start(t, s.dial(g.Token))
		if open := c.expect("open"); open.Extensions != "" || open.TLS != "TLSv1.3" {
			t.Errorf("want TLS 1.3 and no extension; negotiated %q, %q", open.TLS, open.Extensions)
		}
		data := c.expect("message").Data
		var a ack
		strict := json.NewDecoder(strings.NewReader(data))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&a); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		if a.Type != "connection.ack" || a.GatewayID != g.ID || a.Resumed == nil || *a.Resumed {
			t.Errorf("not the ack of a new connection of %s: %s", g.ID, data)
		}
		checkTime(t, a.Timestamp)
		if !uuidPattern.MatchString(a.ConnectionID) {
			t.Errorf("connectionId %q is not a UUID", a.ConnectionID)
		}
		if sequence(t, a.Cursor) < sequence(t, before.ID) {
			t.Errorf("cursor %s is before %s, an earlier event", a.Cursor, before.ID)
		}
		if open := s.connections(t, g); len(open) != 1 || open[0].ConnectionID != a.ConnectionID || open[0].Status != "connected" {
			t.Errorf("the stats know %+v; the ack says %s", open, a.ConnectionID)
		}
		c.gets(s, g) // and no earlier event
	})
}

// sequence returns the sequence in the id of an event.
func sequence(t *testing.T, id string) uint64 {
	t.Helper()
	m := idPattern.FindStringSubmatch(id)
	if m == nil {
		t.Fatalf("%q is not EPOCH-SEQUENCE", id)
	}
	seq, err := strconv.ParseUint(m[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// Each of three connections of a gateway receives all its events in the order of the log.
func TestOrder(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	eachDriver(t, func(t *testing.T, d driver) {
		g, other := s.addGateway(t), s.addGateway(t)
		var clients []*client
		for range 3 {
			c, _ := s.connect(t, d, g)
			clients = append(clients, c)
		}
		drafts := make([]draft, 10_000)
		for i := range drafts {
			drafts[i] = draft{GatewayID: g.ID, Type: "api.deployed", Payload: i}
		}
		for i := 0; i < len(drafts); i += 100 { // one in a hundred is for another gateway
			drafts[i].GatewayID = other.ID
		}
		receipts := s.publishAll(t, drafts)
		for i, c := range clients {
			for n, r := range receipts {
				if drafts[n].GatewayID == g.ID && !c.follows(r, g, n) {
					t.Fatalf("connection %d ends here", i)
				}
			}
			c.alive() // nothing follows the last event
		}
		for i := range len(receipts) - 1 {
			if sequence(t, receipts[i].ID) >= sequence(t, receipts[i+1].ID) {
				t.Fatalf("event %s was published before %s", receipts[i].ID, receipts[i+1].ID)
			}
		}
	})
}

// follows reports whether the next event is that of receipt r, the nth published.
func (c *client) follows(r receipt, g gateway, n int) bool {
	c.t.Helper()
	e := c.event()
	if e.ID == r.ID && e.CorrelationID == r.CorrelationID && e.GatewayID == g.ID &&
		e.Type == "api.deployed" && string(e.Payload) == strconv.Itoa(n) {
		return true
	}
	c.t.Errorf("want event %s, number %d; got %+v", r.ID, n, e)
	return false
}

// Lengths at which the frame header or the TLS records change, and text that is not ASCII.
func TestPayloads(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		c, _ := s.connect(t, d, g)
		send := func(payload string) event {
			t.Helper()
			s.publish(t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: payload, CorrelationID: "c-1"})
			e := c.event()
			var got string
			if err := json.Unmarshal(e.Payload, &got); err != nil || got != payload || e.CorrelationID != "c-1" {
				t.Fatalf("%d bytes of payload came as %d others (%v)", len(payload), len(got), err)
			}
			checkTime(t, e.Timestamp)
			return e
		}
		send("Žluťoučký kůň 🐎 \u2028\u0000\"\\ </script>")
		around := send("").size // bytes of JSON around the payload
		for _, size := range []int{1 << 10, 16 << 10, 1<<16 - 4, 1<<16 - 3, 1<<16 - 2, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1<<16 + 2, 1_000_000} {
			got := send(strings.Repeat("x", size-around)).size
			if got < size || got > size+3 { // the id can get longer
				t.Errorf("want an event of %d bytes; got %d", size, got)
			}
		}
	})
}

// Messages that gateways send now, and unknown ones of future gateways.
func TestMessages(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	longest := `{"type":"event.ack","error":"` + strings.Repeat("x", 64<<10-31) + `"}`
	messages := []struct {
		name string
		command
	}{
		{"event ack", command{Send: `{"type":"event.ack","id":"k3f9-1042","status":"applied"}`}},
		{"failed event ack", command{Send: `{"type":"event.ack","id":"k3f9-1042","status":"failed","error":"no such API"}`}},
		{"deployment ack", command{Send: `{"type":"deployment.ack","payload":{"deploymentId":"d","status":"success"}}`}},
		{"unknown type", command{Send: `{"type":"gateway.mood","payload":{"mood":"gut 🙂"}}`}},
		{"no type", command{Send: `{}`}},
		{"no object", command{Send: `[1,2,3]`}},
		{"in fragments", command{SendParts: []string{`{"type":"eve`, `nt.ack","id":`, `"k3f9-1042"}`}}},
		{"64 KiB", command{Send: longest}},
		{"64 KiB in two", command{SendParts: []string{longest[:40_000], longest[40_000:]}}},
	}
	if len(longest) != 64<<10 {
		t.Fatalf("the longest message is %d bytes", len(longest))
	}
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		c, _ := s.connect(t, d, g)
		for _, m := range messages {
			t.Log(m.name)
			c.do(m.command)
			c.alive()
		}
		c.gets(s, g)
	})
}

// A violation of the protocol is answered with its close code.
func TestViolations(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	half := strings.Repeat("x", 40_000)
	cases := []struct {
		name string
		send command
		want int
	}{
		{"not JSON", command{Send: `{"type":`}, 1007},
		{"JSON and more", command{Send: `{} {}`}, 1007},
		{"binary", command{SendBinary: []byte(`{"type":"event.ack","id":"k3f9-1042"}`)}, 1003},
		{"a byte over 64 KiB", command{Send: strings.Repeat("x", 64<<10+1)}, 1009},
		{"1 MiB", command{Send: strings.Repeat("x", 1<<20)}, 1009},
		{"over 64 KiB in fragments", command{SendParts: []string{half, half}}, 1009},
	}
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				c, _ := s.connect(t, d, g)
				c.do(tc.send)
				c.closes(tc.want)
			})
		}
	})
}

// A connection without traffic stays open because of the server's pings, longer than the connection
// timeout.
func TestHeartbeat(t *testing.T) {
	s := startServer(t, "--rate-limit", "0", "--ping-interval", "1", "--connection-timeout", "3")
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		c, a := s.connect(t, d, g)
		for range 5 {
			if r := c.next(); r.Event != "ping" {
				t.Fatalf("want a ping; saw %v", r)
			}
		}
		open := s.connections(t, g)
		if len(open) != 1 || open[0].ConnectionID != a.ConnectionID {
			t.Fatalf("want connection %s alone; the stats know %+v", a.ConnectionID, open)
		}
		// Five seconds have passed. The newest pongs may still be on their way.
		if moved := open[0].LastHeartbeat.Sub(open[0].ConnectedAt); moved < 2*time.Second {
			t.Errorf("after five pings, one a second, the last heartbeat is %v after the connect", moved)
		}
		c.gets(s, g)
	})
}
