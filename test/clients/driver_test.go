// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"encoding/json"
	"testing"
	"time"
)

// timeout bounds every single wait. Nothing comes near it but a failure.
const timeout = 30 * time.Second

// A dial is what a driver is told first: what to connect to, and how. With a
// method it is one ordinary HTTP request instead of a connection.
type dial struct {
	URL      string            `json:"url"`
	APIKey   *string           `json:"apiKey,omitempty"` // nil: no such header
	Headers  map[string]string `json:"headers,omitempty"`
	CA       string            `json:"ca,omitempty"` // PEM file of whom to trust; empty: the system's
	Insecure bool              `json:"insecure,omitempty"`
	MaxTLS   string            `json:"maxTLS,omitempty"` // "1.2": nothing newer
	Method   string            `json:"method,omitempty"`
	Body     string            `json:"body,omitempty"`

	NoCompression bool `json:"noCompression,omitempty"` // no offer of permessage-deflate
}

// A command is what a connected driver is told to do. What it cannot send any
// more shows in its close.
type command struct {
	Send       string   `json:"send,omitempty"`
	SendBinary []byte   `json:"sendBinary,omitempty"`
	SendParts  []string `json:"sendParts,omitempty"` // one message, a frame a part
	Ping       bool     `json:"ping,omitempty"`
	Close      int      `json:"close,omitempty"`
	Reason     string   `json:"reason,omitempty"`
}

// A report is what a driver saw.
type report struct {
	// Event is open, message, binary, ping, pong or close of a connection;
	// refused when an HTTP response came instead of it; response to an ordinary
	// request; error when nothing came of it at all.
	Event string `json:"event"`

	TLS        string `json:"tls,omitempty"`        // open: the protocol's version, "TLSv1.3"
	Extensions string `json:"extensions,omitempty"` // open: what was negotiated
	Data       string `json:"data,omitempty"`       // message, binary
	Code       int    `json:"code,omitempty"`       // close: 1005 without a code, 1006 without a close frame
	Reason     string `json:"reason,omitempty"`     // close

	Status  int               `json:"status,omitempty"`  // refused, response
	Headers map[string]string `json:"headers,omitempty"` // refused, response; names in lower case
	Body    string            `json:"body,omitempty"`    // refused, response

	Message string `json:"message,omitempty"` // error
}

// String returns the report for a failed test.
func (r report) String() string {
	line, err := json.Marshal(r)
	if err != nil {
		panic("BUG: a report does not marshal: " + err.Error())
	}
	return string(line[:min(len(line), 500)])
}

// A driver is a client library behind that protocol.
type driver struct {
	name string
	// start dials. The driver ends with the test.
	start func(t *testing.T, d dial) *client
}

var drivers = []driver{
	{"coder", startCoder},
	{"node-ws", newProgram("node", []string{"node", "client.mjs"},
		[]string{"node", "--input-type=module", "--eval", `import "ws"`},
		"install Node.js 18 or later, then run: npm ci --prefix test/clients/node").start},
	{"python-websockets", newProgram("python", []string{"/usr/bin/python3", "client.py"},
		[]string{"/usr/bin/python3", "-c", "import websockets.legacy.client"},
		"run: apt-get install -y python3-websockets").start},
}

// eachDriver runs a scenario with every driver, at the same time.
func eachDriver(t *testing.T, scenario func(t *testing.T, d driver)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			scenario(t, d)
		})
	}
}

// A client is a driver at work. The test's goroutine alone uses it.
type client struct {
	t       *testing.T
	reports <-chan report // closed when the driver has ended
	do      func(command)
}

// next returns what the driver sees next.
func (c *client) next() report {
	c.t.Helper()
	select {
	case r, ok := <-c.reports:
		if !ok {
			c.t.Fatal("the driver has ended")
		}
		return r
	case <-time.After(timeout):
		c.t.Fatalf("the driver saw nothing for %v", timeout)
	}
	panic("unreachable")
}

// expect returns what the driver sees next, pings aside, which must be event.
func (c *client) expect(event string) report {
	c.t.Helper()
	for {
		switch r := c.next(); r.Event {
		case event:
			return r
		case "ping":
		default:
			c.t.Fatalf("want %s; saw %v", event, r)
		}
	}
}

// alive makes sure that the server has read all that was sent to it, and kept
// the connection.
func (c *client) alive() {
	c.t.Helper()
	c.do(command{Ping: true})
	c.expect("pong")
}
