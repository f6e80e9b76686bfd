// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"encoding/json"
	"testing"
	"time"
)

// timeout bounds each wait. Only a failure takes so long.
const timeout = 30 * time.Second

// A dial is the first input of a driver: where and how to connect. With a method it is one ordinary
// HTTP request instead.
type dial struct {
	URL      string            `json:"url"`
	APIKey   *string           `json:"apiKey,omitempty"` // nil: no such header
	Headers  map[string]string `json:"headers,omitempty"`
	CA       string            `json:"ca,omitempty"` // PEM file of trusted roots; empty: the system's
	Insecure bool              `json:"insecure,omitempty"`
	MaxTLS   string            `json:"maxTLS,omitempty"` // "1.2": at most TLS 1.2
	Method   string            `json:"method,omitempty"`
	Body     string            `json:"body,omitempty"`

	NoCompression bool `json:"noCompression,omitempty"` // do not offer permessage-deflate
}

// A command is an instruction for a connected driver. A failure shows in its close report.
type command struct {
	Send       string   `json:"send,omitempty"`
	SendBinary []byte   `json:"sendBinary,omitempty"`
	SendParts  []string `json:"sendParts,omitempty"` // one message, one frame per part
	Ping       bool     `json:"ping,omitempty"`
	Close      int      `json:"close,omitempty"`
	Reason     string   `json:"reason,omitempty"`
}

// A report is what a driver saw.
type report struct {
	// Event is open, message, binary, ping, pong or close for a connection; refused for an HTTP
	// response instead of an upgrade; response for an ordinary request; error if there was no
	// response.
	Event string `json:"event"`

	TLS        string `json:"tls,omitempty"`        // open: version, for example "TLSv1.3"
	Extensions string `json:"extensions,omitempty"` // open: negotiated extensions
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

// A driver is a client library behind the protocol of this file.
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

// eachDriver runs a scenario with every driver, side by side.
func eachDriver(t *testing.T, scenario func(t *testing.T, d driver)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			scenario(t, d)
		})
	}
}

// A client is a running driver. Only the test's goroutine uses it.
type client struct {
	t       *testing.T
	reports <-chan report // closed when the driver has ended
	do      func(command)
}

// next returns the next report.
func (c *client) next() report {
	c.t.Helper()
	select {
	case r, ok := <-c.reports:
		if !ok {
			c.t.Fatal("the driver has ended")
		}
		return r
	case <-time.After(timeout):
		c.t.Fatalf("the driver reported nothing for %v", timeout)
	}
	panic("unreachable")
}

// expect returns the next report except pings. It must have this event.
func (c *client) expect(event string) report {
	c.t.Helper()
	for {
		switch r := c.next(); r.Event {
		case event:
			return r
		case "ping":
		default:
			c.t.Fatalf("want %s; got %v", event, r)
		}
	}
}

// alive checks that the server has read everything sent so far, and kept the connection.
func (c *client) alive() {
	c.t.Helper()
	c.do(command{Ping: true})
	c.expect("pong")
}
