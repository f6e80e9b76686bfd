// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var (
	rounds   = flag.Int("rounds", 3, "how often something is killed")
	gateways = flag.Int("gateways", 20, "gateways, of two connections each")
	rate     = flag.Int("rate", 500, "events a second, to one gateway each")
)

// under runs what happens while the fleet is connected and publishes, and checks
// what became of all events.
func (f *fleet) under(what func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	f.connect(ctx)
	publishing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f.publish(publishing, *rate) })
	what()
	stop()
	wg.Wait()
	f.settle()
	cancel()
	f.running.Wait()
	f.report()
}

// aMoment is some time between two blows.
func aMoment() { time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond) }

func TestCrash(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "admin.token"))
	f := newFleet(t, []*process{p}, *gateways)
	f.under(func() {
		for range *rounds {
			aMoment()
			p.kill()
			p.start()
		}
	})
}

func TestDrops(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "admin.token"))
	f := newFleet(t, []*process{p}, *gateways)
	f.under(func() {
		for range *rounds * 10 {
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			f.drop(1 + rand.IntN(replicas**gateways/4))
		}
	})
}

// Three NATS servers and three nodes, of which one is killed in each round and
// brought back.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three NATS servers and three nodes")
	}
	servers, urls := startNATS(t)
	tokenFile := filepath.Join(t.TempDir(), "admin.token")
	var nodes []*process
	for i := range 3 {
		nodes = append(nodes, startProcess(t, tokenFile, "--log", urls, "--node", fmt.Sprint("n", i)))
	}
	f := newFleet(t, nodes, *gateways)
	f.under(func() {
		for round := range *rounds {
			aMoment()
			f.longestGap()
			victim, what := rand.IntN(3), "node"
			if round%2 == 0 {
				what = "server"
				servers[victim].Kill()
				aMoment()
				servers[victim].Start()
			} else {
				nodes[victim].kill()
				aMoment()
				nodes[victim].launch()
			}
			for _, n := range nodes {
				n.awaitReady()
			}
			aMoment()
			t.Logf("round %d: %s %d killed; the longest time without an answered publish was %v", round, what, victim, f.longestGap().Round(time.Millisecond))
		}
	})
}
