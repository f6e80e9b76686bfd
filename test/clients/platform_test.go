// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// This file contains the requests to the internal listener.

type gateway struct{ ID, Token, TokenID string }

type token struct{ ID, Token string }

type receipt struct {
	ID, CorrelationID  string
	Targets, Connected int
}

type connection struct {
	ConnectionID  string
	ConnectedAt   time.Time
	LastHeartbeat time.Time
	Status        string
}

// A draft is an event to publish.
type draft struct {
	GatewayID     string `json:"gatewayId"`
	Type          string `json:"type"`
	Payload       any    `json:"payload"`
	CorrelationID string `json:"correlationId,omitempty"`
}

func (s *server) addGateway(t *testing.T) gateway {
	t.Helper()
	var g gateway
	s.do(t, http.StatusCreated, http.MethodPost, "/gateways", map[string]string{"name": t.Name()}, &g)
	s.log.Hide("a gateway's token", g.Token)
	return g
}

func (s *server) removeGateway(t *testing.T, g gateway) {
	t.Helper()
	s.do(t, http.StatusNoContent, http.MethodDelete, "/gateways/"+g.ID, nil, nil)
}

// dispatched waits until the server has dispatched all events with a receipt. A receipt confirms
// that the event is in the log, which can be before its dispatch: a connection made in between
// would still receive the event. The log is in order, so an event for another gateway that arrives
// has all others before it.
func (s *server) dispatched(t *testing.T) {
	t.Helper()
	g := s.addGateway(t)
	observer, _ := s.connect(t, drivers[0], g)
	observer.gets(s, g)
	observer.do(command{Close: 1000})
	observer.expect("close")
}

// addToken makes a second token for a gateway.
func (s *server) addToken(t *testing.T, g gateway) gateway {
	t.Helper()
	var second token
	s.do(t, http.StatusCreated, http.MethodPost, "/gateways/"+g.ID+"/tokens", nil, &second)
	s.log.Hide("a gateway's token", second.Token)
	return gateway{ID: g.ID, Token: second.Token, TokenID: second.ID}
}

func (s *server) revoke(t *testing.T, g gateway) {
	t.Helper()
	s.do(t, http.StatusNoContent, http.MethodDelete, "/gateways/"+g.ID+"/tokens/"+g.TokenID, nil, nil)
}

func (s *server) publish(t *testing.T, d draft) receipt {
	t.Helper()
	var r receipt
	s.do(t, http.StatusAccepted, http.MethodPost, "/events", d, &r)
	return r
}

// publishAll publishes in bulk.
func (s *server) publishAll(t *testing.T, drafts []draft) []receipt {
	t.Helper()
	var body bytes.Buffer
	lines := json.NewEncoder(&body)
	for _, d := range drafts {
		if err := lines.Encode(d); err != nil {
			t.Fatal(err)
		}
	}
	status, answer, err := s.platform.Call(t.Context(), http.MethodPost, "/events", &body, "Content-Type", "application/x-ndjson")
	if err != nil || status != http.StatusOK {
		t.Fatalf("bulk publish: status %d, %v: %s", status, err, answer)
	}
	receipts := make([]receipt, 0, len(drafts))
	for line := range strings.Lines(string(answer)) {
		var r receipt
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID == "" {
			t.Fatalf("not a receipt: %q", line)
		}
		receipts = append(receipts, r)
	}
	if len(receipts) != len(drafts) {
		t.Fatalf("%d events published; %d receipts", len(drafts), len(receipts))
	}
	return receipts
}

func (s *server) connections(t *testing.T, g gateway) []connection {
	t.Helper()
	var stats struct {
		GatewayConnections struct{ Connections []connection }
	}
	s.do(t, http.StatusOK, http.MethodGet, "/stats?gatewayId="+g.ID, nil, &stats)
	return stats.GatewayConnections.Connections
}

func (s *server) closeConnection(t *testing.T, id string) {
	t.Helper()
	s.do(t, http.StatusNoContent, http.MethodDelete, "/connections/"+id, nil, nil)
}

// do sends a request, whose response must have the status want. It decodes the response into answer,
// unless that is nil.
func (s *server) do(t *testing.T, want int, method, path string, request, answer any) {
	t.Helper()
	if err := s.platform.Do(t.Context(), method, path, request, want, answer); err != nil {
		t.Fatal(err)
	}
}
