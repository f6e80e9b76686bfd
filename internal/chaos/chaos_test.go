// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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

// A natsServer is one of a cluster that others run.
type natsServer struct {
	options *server.Options
	running *server.Server
}

func (s *natsServer) start(t *testing.T) {
	t.Helper()
	var err error
	if s.running, err = server.NewServer(s.options.Clone()); err != nil {
		t.Fatal(err)
	}
	s.running.Start()
	if !s.running.ReadyForConnections(30 * time.Second) {
		t.Fatal("a NATS server does not start")
	}
}

func (s *natsServer) stop() {
	s.running.Shutdown()
	s.running.WaitForShutdown()
}

// startNATS starts three servers and returns them with their URLs.
func startNATS(t *testing.T) (servers []*natsServer, urls string) {
	t.Helper()
	var routes []*url.URL
	var list []string
	for i := range 3 {
		client, cluster := hostPort(freeAddress(t)), hostPort(freeAddress(t))
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", cluster)})
		list = append(list, fmt.Sprint("nats://127.0.0.1:", client))
		servers = append(servers, &natsServer{options: &server.Options{
			ServerName: fmt.Sprint("nats", i), Host: "127.0.0.1", Port: client,
			Cluster:   server.ClusterOpts{Name: "chaos", Host: "127.0.0.1", Port: cluster},
			JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		}})
	}
	for _, s := range servers {
		s.options.Routes = routes
		s.start(t)
		t.Cleanup(s.stop)
	}
	for deadline := time.Now().Add(30 * time.Second); !slices.ContainsFunc(servers, func(s *natsServer) bool { return s.running.JetStreamIsLeader() }); {
		if time.Now().After(deadline) {
			t.Fatal("JetStream has no leader")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return servers, strings.Join(list, ",")
}

func hostPort(address string) (port int) {
	_, text, _ := strings.Cut(address, ":")
	_, _ = fmt.Sscan(text, &port)
	return port
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
				servers[victim].stop()
				aMoment()
				servers[victim].start(t)
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
