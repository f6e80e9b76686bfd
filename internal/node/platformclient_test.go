// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/client/platform"
)

// A cuttingProxy forwards connections to a node. Each ends without notice after a random number
// of bytes in one direction.
type cuttingProxy struct {
	net.Listener
	mu     sync.Mutex
	random *rand.Rand
	most   int64 // bytes of a connection
	cuts   int
	conns  sync.WaitGroup
}

func newCuttingProxy(t *testing.T, target string, most int64) *cuttingProxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cuttingProxy{Listener: ln, random: rand.New(rand.NewPCG(3, 4)), most: most}
	p.conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.forward(c, target) })
		}
	})
	t.Cleanup(func() { ln.Close(); p.conns.Wait() })
	return p
}

func (p *cuttingProxy) forward(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	up, down := 200+p.random.Int64N(p.most), 200+p.random.Int64N(p.most)
	p.cuts++
	p.mu.Unlock()
	ended := make(chan struct{}, 2)
	go func() { io.CopyN(server, client, up); ended <- struct{}{} }()
	go func() { io.CopyN(client, server, down); ended <- struct{}{} }()
	<-ended // either direction ends both
	client.Close()
	server.Close()
	<-ended
}

// platformClient returns a client that reaches the node through address, and retries at once.
func (s *system) platformClient(address string) *platform.Client {
	s.t.Helper()
	c, err := platform.New(platform.Config{
		URL: "http://" + address, Token: s.admin, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// logged returns how often each correlation id is in the log.
func (s *system) logged() map[string]int {
	s.t.Helper()
	times := make(map[string]int)
	for since := ""; ; {
		path := root + "/events?limit=1000"
		if since != "" {
			path += "&since=" + since
		}
		var page struct {
			Events []struct{ CorrelationID string }
			Cursor string
		}
		if status := s.call("GET", path, "", &page); status != 200 {
			s.t.Fatalf("GET /events: %d", status)
		}
		for _, e := range page.Events {
			times[e.CorrelationID]++
		}
		if len(page.Events) == 0 {
			return times
		}
		since = page.Cursor
	}
}

// The client for platforms publishes each event once over a network that cuts every connection.
func TestPlatformClientPublishesOnce(t *testing.T) {
	const bulk, single = 1000, 30
	s := start(t, config(t))
	s.gateway("edge")
	proxy := newCuttingProxy(t, s.InternalAddr().String(), 20_000)
	c := s.platformClient(proxy.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // busy machines with the race detector need most of one
	defer cancel()

	events := func(yield func(platform.Event) bool) {
		for n := range bulk {
			if !yield(platform.Event{GatewayID: "edge", Type: "t", Payload: n, CorrelationID: fmt.Sprint("bulk-", n)}) {
				return
			}
		}
	}
	next := 0
	for r, err := range c.PublishAll(ctx, events) {
		if err != nil || r.Err != nil || r.N != next || r.Receipt.CorrelationID != fmt.Sprint("bulk-", next) || r.Receipt.Targets != 1 {
			t.Fatalf("result %d: %+v, %v", next, r, err)
		}
		next++
	}
	proxy.mu.Lock()
	cuts := proxy.cuts
	proxy.most = 500 // often within one request
	proxy.mu.Unlock()
	if next != bulk || cuts < 5 {
		t.Fatalf("%d results over %d connections", next, cuts)
	}
	for n := range single {
		c.Close() // no reuse of a connection
		if r, err := c.Publish(ctx, platform.Event{GatewayID: "edge", Type: "t", CorrelationID: fmt.Sprint("single-", n)}); err != nil || r.ID == "" {
			t.Fatalf("publish %d: %+v, %v", n, r, err)
		}
	}
	logged := s.logged()
	for id, times := range logged {
		if times != 1 {
			t.Errorf("%s is %d times in the log", id, times)
		}
	}
	if len(logged) != bulk+single {
		t.Errorf("%d events in the log, want %d", len(logged), bulk+single)
	}
}

// A publish succeeds when the node comes back after a restart.
func TestPlatformClientOutlivesRestart(t *testing.T) {
	cfg := config(t)
	cfg.Log = "file"
	s := start(t, cfg)
	s.gateway("edge")
	var address atomic.Value // of the node that runs
	address.Store(s.InternalAddr().String())
	s.drain()

	refused := make(chan struct{})
	var once sync.Once
	c, err := platform.New(platform.Config{
		URL: "http://node", Token: s.admin, BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond,
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address.Load().(string))
		},
		OnRetry: func(error, time.Duration) { once.Do(func() { close(refused) }) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	type result struct {
		receipt platform.Receipt
		err     error
	}
	published := make(chan result, 1)
	go func() {
		r, err := c.Publish(t.Context(), platform.Event{GatewayID: "edge", Type: "t", CorrelationID: "c"})
		published <- result{r, err}
	}()
	<-refused
	again := start(t, cfg)
	address.Store(again.InternalAddr().String())
	if r := <-published; r.err != nil || r.receipt.Targets != 1 {
		t.Errorf("%+v", r)
	}
	if logged := again.logged(); logged["c"] != 1 {
		t.Errorf("in the log: %v", logged)
	}
}

// A reader of messages gets each one, in order, over a network that cuts every connection.
func TestPlatformClientReadsMessages(t *testing.T) {
	const messages = 200
	cfg := config(t)
	cfg.Plaintext = true
	s := start(t, cfg)
	token, _ := s.gateway("edge")
	edge := s.connect(token)
	for n := range messages {
		edge.say(fmt.Sprintf(`{"type":"deployment.ack","payload":{"deploymentId":"d","status":"success","n":%d}}`, n))
	}
	proxy := newCuttingProxy(t, s.InternalAddr().String(), 4000)
	c := s.platformClient(proxy.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store := new(platform.MemoryCursor)
	next := 0
	for reader := 1; next < messages-1; reader++ {
		// Each reader reads 30 messages and ends within the next one, which comes again.
		for m, err := range c.Messages(ctx, store, platform.MessageOptions{Type: "deployment.ack", Wait: time.Second, Page: 7}) {
			var p struct{ N int }
			if err == nil {
				err = json.Unmarshal(m.Payload, &p)
			}
			if err != nil || p.N != next || m.GatewayID != "edge" {
				t.Fatalf("message %d: %+v, %v", next, m, err)
			}
			if next == 30*reader || next == messages-1 {
				break
			}
			next++
		}
	}
	// The last message was not handled.
	for m, err := range c.Messages(ctx, store, platform.MessageOptions{}) {
		var p struct{ N int }
		if err = errors.Join(err, json.Unmarshal(m.Payload, &p)); err != nil || p.N != messages-1 {
			t.Errorf("%+v, %v", m, err)
		}
		break
	}
}
