// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/internal/node"

	"github.com/google/uuid"
)

// demoGateways are the gateways of the demo: one with two replicas, one with one.
var demoGateways = []struct {
	id       string
	replicas int
}{{"edge-eu", 2}, {"edge-us", 1}}

// Run runs a node, its gateways and its platform, and prints what happens.
func (c *demoCmd) Run(ctx context.Context, w world) error {
	if c.Every <= 0 || c.For < 0 {
		return &usageError{fmt.Errorf("--every %v, --for %v: want times above 0", c.Every, c.For)}
	}
	dir, err := os.MkdirTemp("", "gatecast-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // also the log and the tokens: a demo leaves nothing
	cfg := node.Defaults()
	cfg.Listen, cfg.InternalListen, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", dir
	cfg.Version = buildVersion()
	cfg.ShutdownTimeout = 2 * time.Second
	// Below errors, the log would repeat what the demo prints.
	cfg.Logger = slog.New(slog.NewTextHandler(w.err, &slog.HandlerOptions{Level: slog.LevelError}))
	n, err := node.Start(ctx, cfg)
	if err != nil {
		return err
	}
	d := &demo{
		out:   w.out,
		url:   "wss://" + n.GatewayAddr().String(),
		admin: adminFlags{InternalURL: "http://" + n.InternalAddr().String(), AdminTokenFile: dir + "/admin.token"},
		sent:  make(map[string]time.Time),
	}
	runErr := d.run(ctx, c)
	if err := n.Drain(context.WithoutCancel(ctx)); err != nil {
		runErr = errors.Join(runErr, err)
	}
	if runErr != nil {
		return runErr
	}
	return d.totals()
}

// A demo is the platform and the gateways around a node. Each replica has a goroutine, which
// prints and counts under mu; the goroutine of Run publishes.
type demo struct {
	// Constant after the start; admin is used by the goroutine of Run.

	out   io.Writer
	url   string // of the gateway listener
	admin adminFlags

	mu        sync.Mutex           // also guards writes to out
	sent      map[string]time.Time // time of each publish, by correlation id
	published map[string][]string  // events by gateway, in order
	replicas  []*demoReplica
	latencies []time.Duration // of all deliveries, from publish to the handler
}

// A demoReplica is one connection of a gateway. Its demo's mu guards it.
type demoReplica struct {
	name, gateway string
	got           []string // correlation ids, in the order of arrival
}

// run connects the replicas, publishes until ctx or --for ends, and waits for what is still
// on its way.
func (d *demo) run(ctx context.Context, c *demoCmd) error {
	fmt.Fprintf(d.out, "A node serves gateways at %s and its platform at %s.\n", d.url, d.admin.InternalURL)
	d.published = make(map[string][]string)
	var receiving sync.WaitGroup
	defer receiving.Wait()
	// A signal ends the publishing, not the replicas: they must receive what is published.
	replicas, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	for _, g := range demoGateways {
		token, err := d.register(ctx, g.id)
		if err != nil {
			return err
		}
		for i := range g.replicas {
			r := &demoReplica{name: fmt.Sprintf("%s/%d", g.id, i+1), gateway: g.id}
			d.replicas = append(d.replicas, r)
			connected := make(chan struct{})
			receiving.Go(func() { d.receive(replicas, r, token, sync.OnceFunc(func() { close(connected) })) })
			// One after the other, so that the output is the same each time.
			select {
			case <-connected:
			case <-ctx.Done():
				return nil
			}
		}
	}
	d.mu.Lock()
	fmt.Fprintf(d.out, "The ops page is at %s/ and needs the token in %s\n", d.admin.InternalURL, d.admin.AdminTokenFile)
	fmt.Fprintf(d.out, "Metrics are at %s/metrics. Ctrl-C ends the demo.\n\n", d.admin.InternalURL)
	d.mu.Unlock()
	if err := d.deploy(ctx, c); err != nil {
		return err
	}
	d.settle()
	return nil
}

// register registers a gateway and returns its token.
func (d *demo) register(ctx context.Context, id string) (token string, err error) {
	var registered struct{ Token string }
	err = d.post(ctx, "/gateways", map[string]any{"id": id, "name": id}, &registered)
	return registered.Token, err
}

// post sends a body as JSON and decodes the JSON of the response.
func (d *demo) post(ctx context.Context, path string, body, response any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	in, err := d.admin.do(ctx, http.MethodPost, apiRoot+path, "application/json", bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer in.Close()
	return json.NewDecoder(in).Decode(response)
}

// deploy publishes events until ctx or --for ends.
func (d *demo) deploy(ctx context.Context, c *demoCmd) error {
	var over <-chan time.Time
	if c.For > 0 {
		over = time.After(c.For)
	}
	next := time.NewTicker(c.Every)
	defer next.Stop()
	for n := 0; ; n++ {
		if err := d.publish(ctx, n); err != nil {
			return err
		}
		select {
		case <-next.C:
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

var demoAPIs = []string{"weather", "orders", "payments"}

// publish deploys an API to one of the gateways, in turn. A signal does not interrupt it,
// because the totals compare what was published with what arrived.
func (d *demo) publish(ctx context.Context, n int) error {
	gateway := demoGateways[n%len(demoGateways)].id
	api, revision := demoAPIs[n%len(demoAPIs)], n/len(demoAPIs)+1
	correlation := uuid.NewString()
	// Before the request: the event can arrive before the receipt does.
	d.mu.Lock()
	fmt.Fprintf(d.out, "api.deployed %s r%d for %s\n", api, revision, gateway)
	d.published[gateway] = append(d.published[gateway], correlation)
	d.sent[correlation] = time.Now()
	d.mu.Unlock()
	var receipt struct{ ID string }
	return d.post(context.WithoutCancel(ctx), "/events", map[string]any{
		"gatewayId": gateway, "type": "api.deployed", "correlationId": correlation,
		"payload": map[string]any{"apiId": api, "revision": revision},
	}, &receipt)
}

// receive keeps a replica connected until ctx ends, and prints what it receives. It calls
// connected once: when the replica is connected, or when that has failed for good.
func (d *demo) receive(ctx context.Context, r *demoReplica, token string, connected func()) {
	defer connected() // a replica that never connected shows in the totals
	_ = client.Run(ctx, client.Config{
		URL: d.url, Token: token,
		TLS: &tls.Config{InsecureSkipVerify: true}, // the node's certificate is self-signed
		OnState: func(s client.State) {
			d.mu.Lock()
			defer d.mu.Unlock()
			switch s.Phase {
			case client.Connected:
				fmt.Fprintf(d.out, "Gateway %s: replica %s is connected.\n", r.gateway, r.name)
				connected()
			case client.Waiting:
				fmt.Fprintf(d.out, "Gateway %s: replica %s: %v; next attempt in %v.\n", r.gateway, r.name, s.Err, s.Wait.Round(time.Millisecond))
			}
		},
		Handler: func(_ context.Context, e client.Event) error {
			now := time.Now()
			d.mu.Lock()
			defer d.mu.Unlock()
			latency := now.Sub(d.sent[e.CorrelationID])
			r.got = append(r.got, e.CorrelationID)
			d.latencies = append(d.latencies, latency)
			fmt.Fprintf(d.out, "  %s received %s after %v\n", r.name, e.ID, latency.Round(time.Microsecond))
			return nil
		},
	})
}

// settleTimeout is how long the last events may take to arrive.
const settleTimeout = 2 * time.Second

// settle waits until all events have arrived, or the timeout is over.
func (d *demo) settle() {
	for deadline := time.Now().Add(settleTimeout); !d.complete() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// complete reports whether each replica has received its gateway's events, each once and
// in order.
func (d *demo) complete() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.replicas {
		if !slices.Equal(r.got, d.published[r.gateway]) {
			return false
		}
	}
	return true
}

// totals prints a summary. It returns an error if a replica lacks an event, or has one twice
// or out of order.
func (d *demo) totals() error {
	published := 0
	for _, events := range d.published {
		published += len(events)
	}
	fmt.Fprintf(d.out, "\n%d events published, %d received by %d connections.\n", published, len(d.latencies), len(d.replicas))
	if len(d.latencies) > 0 {
		slices.Sort(d.latencies)
		percentile := func(p int) time.Duration {
			return d.latencies[((len(d.latencies)-1)*p+99)/100].Round(time.Microsecond)
		}
		fmt.Fprintf(d.out, "From the publish to the gateway: median %v, 99th percentile %v, longest %v.\n", percentile(50), percentile(99), percentile(100))
	}
	if !d.complete() {
		return errors.New("not every connection received its gateway's events once and in order")
	}
	fmt.Fprintln(d.out, "Every connection received its gateway's events once and in order.")
	return nil
}
