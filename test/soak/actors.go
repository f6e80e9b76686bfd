// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/client"
)

// An actor does one thing to gateways, again and again, and checks its effect each time.
type actor struct {
	name  string
	every time.Duration // interval
	act   func(context.Context) error
	done  atomic.Int64 // number of successes
}

// actors returns all actors. Per second they affect a few percent of the default number of
// connections.
func (s *soak) actors() []*actor {
	return []*actor{
		{name: "churn, clean", every: 300 * time.Millisecond, act: s.churn((*member).leave)},
		{name: "churn, abrupt", every: 300 * time.Millisecond, act: s.churn((*member).reset)},
		{name: "restart", every: 500 * time.Millisecond, act: s.restart},
		{name: "kick", every: time.Second, act: s.kick},
		{name: "slow reader", every: 10 * time.Second, act: s.slow},
		{name: "token rotation", every: 2 * time.Second, act: s.rotate},
		{name: "gateway removed and added", every: 2 * time.Second, act: s.replace},
		{name: "certificate", every: 20 * time.Second, act: s.certificate},
	}
}

// run acts until over ends, but at least once. It completes the last action, unless ctx ends.
func (a *actor) run(ctx, over context.Context, report func(error)) {
	for {
		if err := a.act(ctx); err != nil {
			report(fmt.Errorf("%s: %w", a.name, err))
		} else {
			a.done.Add(1)
		}
		if pause(over, a.every/2+rand.N(a.every)) != nil {
			return
		}
	}
}

// pick returns a gateway that no other actor uses. The caller unlocks busy.
func (s *soak) pick() *gateway {
	for {
		if g := s.lasting[rand.IntN(len(s.lasting))]; g.busy.TryLock() {
			return g
		}
	}
}

// pickConnected is pick for a gateway whose members are connected.
func (s *soak) pickConnected(ctx context.Context) (*gateway, error) {
	g := s.pick()
	err := await(ctx, g.id+" is connected", g.connected)
	if err != nil {
		g.busy.Unlock()
	}
	return g, err
}

// churn disconnects a member with leave. A new client without a position replaces it.
func (s *soak) churn(leave func(m *member, newChain bool)) func(context.Context) error {
	return func(ctx context.Context) error {
		g, err := s.pickConnected(ctx)
		if err != nil {
			return err
		}
		defer g.busy.Unlock()
		m := g.members[rand.IntN(len(g.members))]
		_, n := m.connection()
		leave(m, true)
		return m.back(ctx, n)
	}
}

// restart disconnects all clients of a gateway. They reconnect within seconds, with their
// positions.
func (s *soak) restart(ctx context.Context) error {
	g, err := s.pickConnected(ctx)
	if err != nil {
		return err
	}
	defer g.busy.Unlock()
	numbers := make([]int, len(g.members))
	for i, m := range g.members {
		_, numbers[i] = m.connection()
		m.keepAway()
		defer m.comeBack()
		m.reset(false)
	}
	if err := pause(ctx, rand.N(3*time.Second)); err != nil {
		return err
	}
	for i, m := range g.members {
		m.comeBack()
		if err := m.back(ctx, numbers[i]); err != nil {
			return err
		}
	}
	return nil
}

// kick closes a connection by its id.
func (s *soak) kick(ctx context.Context) error {
	g, err := s.pickConnected(ctx)
	if err != nil {
		return err
	}
	defer g.busy.Unlock()
	m := g.members[rand.IntN(len(g.members))]
	conn, n, err := m.online(ctx)
	if err != nil {
		return err
	}
	if err := s.platform.Do(ctx, http.MethodDelete, "/connections/"+conn.Accepted().ConnectionID, "", http.StatusNoContent, nil); err != nil {
		return err
	}
	if err := m.back(ctx, n); err != nil {
		return err
	}
	return wantCode(m, client.CloseNormal)
}

func wantCode(m *member, want client.CloseCode) error {
	if got := m.lastCode(); got != want {
		return fmt.Errorf("a connection of %s ended with close code %d, want %d", m.g.id, got, want)
	}
	return nil
}

const (
	slowPayload = 32 << 10 // bytes of an event
	slowEvents  = 400      // more events than all socket buffers hold
)

// slow makes a member stop reading, and publishes more than sockets hold, until the server closes
// the connection. Then the member reads again, receives the close code and resumes. The server
// waits some seconds for the close frame to be read. That can be too short on a busy machine: then
// slow tries again.
func (s *soak) slow(ctx context.Context) error {
	g, err := s.pickConnected(ctx)
	if err != nil {
		return err
	}
	defer g.busy.Unlock()
	m := g.members[rand.IntN(len(g.members))]
	for range attempts {
		conn, n, err := m.online(ctx)
		if err != nil {
			return err
		}
		m.stopReading()
		err = s.overfill(ctx, g, conn.Accepted().ConnectionID)
		m.resumeReading()
		if err != nil {
			return err
		}
		if err := m.back(ctx, n); err != nil {
			return err
		}
		if m.lastCode() != noCode {
			break
		}
	}
	return wantCode(m, client.CloseTryAgainLater)
}

// overfill publishes to a gateway until the server has closed one of its connections.
func (s *soak) overfill(ctx context.Context, g *gateway, connection string) error {
	for range slowEvents {
		if err := s.publish(ctx, g.toIt(), slowPayload); err != nil {
			return err
		}
		there, err := s.platform.connections(ctx, g.id)
		if err != nil {
			return err
		}
		if !slices.Contains(there, connection) {
			return nil
		}
	}
	return fmt.Errorf("%s does not read a connection, but after %d events of %d bytes it is not a slow consumer", g.id, slowEvents, slowPayload)
}

// rotate gives a gateway a new token. One member starts to use it by itself, the other after the
// old token was deleted.
func (s *soak) rotate(ctx context.Context) error {
	g, err := s.pickConnected(ctx)
	if err != nil {
		return err
	}
	defer g.busy.Unlock()
	former, err := s.addToken(ctx, g)
	if err != nil {
		return err
	}
	first, last := g.members[0], g.members[1]
	_, n := first.connection()
	first.leave(false)
	if err := first.back(ctx, n); err != nil {
		return err
	}
	_, n = last.connection()
	if err := s.platform.Do(ctx, http.MethodDelete, "/gateways/"+g.id+"/tokens/"+former, "", http.StatusNoContent, nil); err != nil {
		return err
	}
	if err := last.back(ctx, n); err != nil {
		return err
	}
	return wantCode(last, client.ClosePolicyViolation)
}

// replace removes the oldest temporary gateway and registers another one.
func (s *soak) replace(ctx context.Context) error {
	s.mu.Lock()
	former := s.passing[0]
	s.mu.Unlock()
	former.remove()
	if err := s.platform.Do(ctx, http.MethodDelete, "/gateways/"+former.id, "", http.StatusNoContent, nil); err != nil {
		return err
	}
	for _, m := range former.members {
		if err := await(ctx, "members of "+former.id+" are gone", m.gone); err != nil {
			return err
		}
		if err := wantCode(m, client.ClosePolicyViolation); err != nil {
			return err
		}
	}
	g, err := s.join(ctx, former.group)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.passing = append(s.passing[1:], g)
	s.mu.Unlock()
	return await(ctx, g.id+" is connected", g.connected)
}

// certificate replaces the server's certificate and waits until new connections get the new one.
func (s *soak) certificate(ctx context.Context) error {
	der, err := s.pair.renew()
	if err != nil {
		return err
	}
	const between = 250 * time.Millisecond // handshakes cost CPU time
	return awaitEvery(ctx, between, "the new certificate is used", func() bool {
		conn, err := (&tls.Dialer{Config: s.target.TLS}).DialContext(ctx, "tcp", s.target.Gateways)
		if err != nil {
			return false
		}
		defer conn.Close()
		return bytes.Equal(conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw, der)
	})
}
