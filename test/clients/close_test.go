// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"fmt"
	"testing"
)

// closes checks that the server closes the connection next, with this code and a reason.
func (c *client) closes(want int) {
	c.t.Helper()
	if closed := c.expect("close"); closed.Code != want || closed.Reason == "" {
		c.t.Errorf("want close %d and a reason; got %d %q", want, closed.Code, closed.Reason)
	}
}

// A server that shuts down delivers what it has, closes all connections and exits.
func TestShutdown(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		s := startServer(t, "--rate-limit", "0")
		g := s.addGateway(t)
		var clients []*client
		for range 3 {
			c, _ := s.connect(t, d, g)
			clients = append(clients, c)
		}
		drafts := make([]draft, 200)
		for i := range drafts {
			drafts[i] = draft{GatewayID: g.ID, Type: "api.deployed", Payload: i}
		}
		receipts := s.publishAll(t, drafts)
		s.terminate(t)
		for _, c := range clients {
			for n, r := range receipts {
				if !c.follows(r, g, n) {
					t.FailNow()
				}
			}
			c.closes(1000)
		}
		if err := s.wait(t); err != nil {
			t.Errorf("want exit 0; got %v", err)
		}
	})
}

func TestRevocation(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	eachDriver(t, func(t *testing.T, d driver) {
		old := s.addGateway(t)
		renewed := s.addToken(t, old)
		goes, _ := s.connect(t, d, old)
		stays, _ := s.connect(t, d, renewed)
		s.revoke(t, old)
		goes.closes(1008)
		stays.gets(s, renewed)
		unauthorized(t, d.start(t, s.dial(old.Token)))

		alsoGoes, _ := s.connect(t, d, renewed)
		s.removeGateway(t, renewed)
		stays.closes(1008)
		alsoGoes.closes(1008)
		unauthorized(t, d.start(t, s.dial(renewed.Token)))
	})
}

func unauthorized(t *testing.T, c *client) report {
	t.Helper()
	return refusedWith(t, c.expect("refused"), 401, "unauthorized")
}

func TestCloseByOperator(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		goes, a := s.connect(t, d, g)
		stays, _ := s.connect(t, d, g)
		s.closeConnection(t, a.ConnectionID)
		goes.closes(1000) // as for a shutdown: come back
		stays.gets(s, g)
		back, _ := s.connect(t, d, g)
		back.alive()
	})
}

// The server answers a close frame with the same code.
func TestCloseByClient(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		for _, code := range []int{1000, 3000, 4999} {
			t.Run(fmt.Sprint(code), func(t *testing.T) {
				c, _ := s.connect(t, d, g)
				c.do(command{Close: code, Reason: "going home 🏡"})
				if closed := c.expect("close"); closed.Code != code {
					t.Errorf("want the same code; got %d %q", closed.Code, closed.Reason)
				}
			})
		}
	})
}
