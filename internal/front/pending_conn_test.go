// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/test/testenv"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// result returns the number of attempts to connect with a result.
func (h *testFront) result(of string) float64 {
	return testutil.ToFloat64(h.cfg.Node.ConnectsTotal.WithLabelValues(of))
}

// Silent peers in all handshake slots are evicted, so that others can connect.
func TestEvictsSilentPeers(t *testing.T) {
	h := newTestFront(t, true, nil)
	silent := make([]net.Conn, maxHandshakes)
	for i := range silent {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent[i] = c
	}
	h.admit()
	if n := h.result(resultEvicted); n == 0 {
		t.Error("no connection was evicted; the front waited for the deadline of its peers")
	}
	if n := h.result("incomplete") + h.result("tls_failed"); n > 0 {
		t.Errorf("%v ended for another reason", n)
	}
}

// A connection with a complete request is not evicted.
func TestDoesNotEvictCompleteRequest(t *testing.T) {
	h := newTestFront(t, false, nil)
	server, client := net.Pipe()
	defer client.Close()
	h.acquireSlot()
	p := h.addPending(server)
	defer h.removePending(p)
	if !p.requestComplete() {
		t.Fatal("it was evicted")
	}
	h.evictOldest(p.accepted.Add(10 * evictAfter))
	if p.result("other") != "other" {
		t.Error("it was evicted after its request was complete")
	}
}

// A panic ends its connection, and is counted and logged with its stack.
func TestPanicIsContained(t *testing.T) {
	log := testenv.NewLog(t)
	h := newTestFront(t, true, func(c *Config) {
		c.Logger = log.Logger()
		verify := c.Verify
		c.Verify = func(token string) (*auth.Grant, error) {
			if token == "gc_panic" {
				panic("no such shelf")
			}
			return verify(token)
		}
		c.Platform = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/abort" {
				panic(http.ErrAbortHandler)
			}
			panic("no such platform")
		})
	})
	for i, request := range []string{
		upgradeWith("api-key", "gc_panic"),
		"GET /anything HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /abort HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		c := h.send(request)
		if b, err := io.ReadAll(c); err == nil && len(b) > 0 {
			t.Errorf("request %d is answered: %q", i, b)
		}
	}
	if n := testutil.ToFloat64(h.cfg.Node.Panics.WithLabelValues("gateways")); n != 2 {
		t.Errorf("%v panics counted, want 2: http.ErrAbortHandler is none", n)
	}
	for _, want := range []string{"no such shelf", "no such platform", "pending_conn_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %q:\n%s", want, log.String())
		}
	}
	h.admit() // other connections are served
	if h.Live() != 1 {
		t.Errorf("%d connections count against the limit, want 1", h.Live())
	}
}
