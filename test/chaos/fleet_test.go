// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/test/testenv"
)

// A fleet is gateways with two replicas each, and publishers. Each replica connects to a random node,
// as through a load balancer.
type fleet struct {
	t        *testing.T
	nodes    []*process
	gateways []*gateway
	running  sync.WaitGroup

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	answered time.Time     // time of the last receipt
	gap      time.Duration // longest time between two receipts since longestGap was called
	failed   int           // publishes without a receipt
}

// A gateway is a registered gateway and what was published to it.
type gateway struct {
	id, token string
	replicas  []*replica

	mu       sync.Mutex
	receipts []uint64 // sequences of its events with receipts
}

// A replica is one client of a gateway, across all its connections.
type replica struct {
	mu      sync.Mutex
	got     []uint64
	twice   int // duplicate events
	turned  int // events out of order
	resyncs int
	acks    int // connections
}

const replicas = 2

func newFleet(t *testing.T, nodes []*process, gateways int) *fleet {
	t.Helper()
	f := &fleet{t: t, nodes: nodes, conns: make(map[net.Conn]struct{}), answered: time.Now()}
	for i := range gateways {
		g := &gateway{id: fmt.Sprint("gw-", i)}
		body := fmt.Sprintf(`{"id":%q,"name":%[1]q,"groups":["all-of-them"]}`, g.id)
		var answer struct{ Token string }
		if err := nodes[0].platform.Do(t.Context(), http.MethodPost, "/gateways", body, http.StatusCreated, &answer); err != nil {
			t.Fatal(err)
		}
		g.token = answer.Token
		f.gateways = append(f.gateways, g)
	}
	return f
}

// connect connects every replica. They reconnect until ctx ends.
func (f *fleet) connect(ctx context.Context) {
	for _, g := range f.gateways {
		for range replicas {
			r := new(replica)
			g.replicas = append(g.replicas, r)
			f.running.Go(func() { f.run(ctx, g, r) })
		}
	}
	testenv.Eventually(f.t, "all replicas are connected", func() bool {
		for _, g := range f.gateways {
			for _, r := range g.replicas {
				if r.connections() == 0 {
					return false
				}
			}
		}
		return true
	})
}

func (f *fleet) run(ctx context.Context, g *gateway, r *replica) {
	err := client.Run(ctx, client.Config{
		URL: "wss://" + f.nodes[0].gateways, Token: g.token,
		TLS:     &tls.Config{InsecureSkipVerify: true},
		NetDial: f.dial,
		Handler: func(_ context.Context, e client.Event) error { return r.take(e.ID) },
		OnResync: func(context.Context, client.Resync) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.resyncs++
		},
		OnState: func(s client.State) {
			if s.Phase == client.Connected {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.acks++
			}
		},
		BackoffMin: 10 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
	})
	if ctx.Err() == nil {
		f.t.Errorf("%s stopped reconnecting: %v", g.id, err)
	}
}

func (r *replica) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acks
}

// take records an event.
func (r *replica) take(id string) error {
	c, err := event.ParseCursor(id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch n := len(r.got); {
	case n > 0 && r.got[n-1] == c.Seq:
		r.twice++
	case n > 0 && r.got[n-1] > c.Seq:
		r.turned++
	default:
		r.got = append(r.got, c.Seq)
	}
	return nil
}

// dial connects to a random node that accepts, as a load balancer does.
func (f *fleet) dial(ctx context.Context, network, _ string) (conn net.Conn, err error) {
	var d net.Dialer
	for _, i := range rand.Perm(len(f.nodes)) {
		if conn, err = d.DialContext(ctx, network, f.nodes[i].gateways); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: conn, f: f}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[t] = struct{}{}
	return t, nil
}

// A tracked connection can be closed by drop.
type tracked struct {
	net.Conn
	f *fleet
}

func (c *tracked) Close() error {
	c.f.mu.Lock()
	delete(c.f.conns, c)
	c.f.mu.Unlock()
	return c.Conn.Close()
}

// drop resets n connections.
func (f *fleet) drop(n int) {
	f.mu.Lock()
	var victims []net.Conn
	for c := range f.conns {
		if len(victims) == n {
			break
		}
		victims = append(victims, c)
	}
	f.mu.Unlock()
	for _, c := range victims {
		_ = c.(*tracked).Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

const publishers = 16

// publish publishes rate events per second, each to a random gateway, until ctx ends.
func (f *fleet) publish(ctx context.Context, rate int) {
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			next := time.NewTicker(time.Second * publishers / time.Duration(rate))
			defer next.Stop()
			for {
				select {
				case <-next.C:
					f.publishOne(ctx)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
}

// publishOne publishes an event to a node, or to another node if the first refuses.
func (f *fleet) publishOne(ctx context.Context) {
	g := f.gateways[rand.IntN(len(f.gateways))]
	body := fmt.Sprintf(`{"gatewayId":%q,"type":"api.deployed","payload":{"n":"%0160d"}}`, g.id, rand.Int64())
	for _, i := range rand.Perm(len(f.nodes)) {
		var receipt struct{ ID event.Cursor }
		err := f.nodes[i].platform.Do(ctx, http.MethodPost, "/events", body, http.StatusAccepted, &receipt)
		if err == nil && !receipt.ID.IsZero() {
			g.mu.Lock()
			g.receipts = append(g.receipts, receipt.ID.Seq)
			g.mu.Unlock()
			f.answer()
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed++
}

// answer records a receipt.
func (f *fleet) answer() {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gap = max(f.gap, now.Sub(f.answered))
	f.answered = now
}

// longestGap returns the longest time between two receipts since the last call.
func (f *fleet) longestGap() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	gap := f.gap
	f.gap = 0
	return gap
}

// settle waits until all events with receipts were delivered, for at most a minute.
func (f *fleet) settle() {
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		if missing, _ := f.missing(); missing == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// missing returns the number of missing deliveries of events with receipts, and the number of all
// such deliveries.
func (f *fleet) missing() (missing, of int) {
	for _, g := range f.gateways {
		g.mu.Lock()
		for _, r := range g.replicas {
			r.mu.Lock()
			got := make(map[uint64]struct{}, len(r.got))
			for _, seq := range r.got {
				got[seq] = struct{}{}
			}
			r.mu.Unlock()
			for _, seq := range g.receipts {
				of++
				if _, ok := got[seq]; !ok {
					missing++
				}
			}
		}
		g.mu.Unlock()
	}
	return missing, of
}

// report logs the totals, and fails the test if an event was lost, duplicated or out of order.
func (f *fleet) report() {
	f.t.Helper()
	missing, of := f.missing()
	var received, twice, turned, resyncs, connections int
	for _, g := range f.gateways {
		for _, r := range g.replicas {
			r.mu.Lock()
			received += len(r.got)
			twice += r.twice
			turned += r.turned
			resyncs += r.resyncs
			connections += r.acks
			r.mu.Unlock()
		}
	}
	f.t.Logf("receipts %d, publishes without one %d, connections made %d; deliveries expected %d, received %d (including events without a receipt), missing %d, duplicate %d, out of order %d, resyncs %d",
		of/replicas, f.failed, connections, of, received, missing, twice, turned, resyncs)
	if missing+twice+turned+resyncs > 0 || of == 0 {
		f.t.Error("events were lost, duplicated or out of order")
	}
}
