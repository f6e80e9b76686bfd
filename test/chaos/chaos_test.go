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
	rounds   = flag.Int("rounds", 3, "number of kills")
	gateways = flag.Int("gateways", 20, "number of gateways, with two connections each")
	rate     = flag.Int("rate", 500, "events per second, each to one gateway")
)

// during runs disturb while the fleet is connected and publishes, and then checks all deliveries.
func (f *fleet) during(disturb func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	f.connect(ctx)
	publishing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f.publish(publishing, *rate) })
	disturb()
	stop()
	wg.Wait()
	f.settle()
	cancel()
	f.running.Wait()
	f.report()
}

// pause waits for a random time between two kills.
func pause() { time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond) }

func TestCrash(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "admin.token"))
	f := newFleet(t, []*process{p}, *gateways)
	f.during(func() {
		for range *rounds {
			pause()
			p.kill()
			p.start()
		}
	})
}

func TestDrops(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "admin.token"))
	f := newFleet(t, []*process{p}, *gateways)
	f.during(func() {
		for range *rounds * 10 {
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			f.drop(1 + rand.IntN(replicas**gateways/4))
		}
	})
}

// A cluster of three NATS servers and three nodes. Each round kills one of them and starts it again.
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
	f.during(func() {
		for round := range *rounds {
			pause()
			f.longestGap()
			victim, kind := rand.IntN(3), "node"
			if round%2 == 0 {
				kind = "server"
				servers[victim].Kill()
				pause()
				servers[victim].Start()
			} else {
				nodes[victim].kill()
				pause()
				nodes[victim].launch()
			}
			for _, n := range nodes {
				n.awaitReady()
			}
			pause()
			t.Logf("round %d: %s %d killed; the longest time without a receipt was %v", round, kind, victim, f.longestGap().Round(time.Millisecond))
		}
	})
}
