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

// result returns how many attempts to connect ended so.
func (h *house) result(of string) float64 {
	return testutil.ToFloat64(h.cfg.Node.ConnectsTotal.WithLabelValues(of))
}

// A full house of peers that say nothing holds nobody up: they make room.
func TestOvertaken(t *testing.T) {
	h := newHouse(t, true, nil)
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
	if n := h.result(resultOvertaken); n == 0 {
		t.Error("nobody was overtaken; the house waited for its peers' time to run out")
	}
	if n := h.result("incomplete") + h.result("tls_failed"); n > 0 {
		t.Errorf("%v ended for another reason", n)
	}
}

// Who has said all is waited for, however full the house is.
func TestNobodyIsOvertakenWhoIsDone(t *testing.T) {
	h := newHouse(t, false, nil)
	server, client := net.Pipe()
	defer client.Close()
	h.takeSlot()
	p := h.begin(server)
	defer h.finish(p)
	if !p.heard() {
		t.Fatal("it was overtaken")
	}
	h.overtake(p.accepted.Add(10 * patience))
	if p.result("other") != "other" {
		t.Error("it was overtaken when it was done")
	}
}

// A panic ends the connection it is about, is counted, and told with its stack.
func TestPanicIsContained(t *testing.T) {
	log := testenv.NewLog(t)
	h := newHouse(t, true, func(c *Config) {
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
		c := h.say(request)
		if b, err := io.ReadAll(c); err == nil && len(b) > 0 {
			t.Errorf("request %d is answered: %q", i, b)
		}
	}
	if n := testutil.ToFloat64(h.cfg.Node.Panics.WithLabelValues("gateways")); n != 2 {
		t.Errorf("%v panics counted, want 2: an answer broken off is none", n)
	}
	for _, want := range []string{"no such shelf", "no such platform", "passage_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %q:\n%s", want, log.String())
		}
	}
	h.admit() // and everybody else is served
	if h.Live() != 1 {
		t.Errorf("%d places are taken, want 1", h.Live())
	}
}
