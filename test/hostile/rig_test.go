// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/test/hostile"
)

// tempDir is for files that outlive one test.
var tempDir string

// binary builds the node's binary once.
var binary = sync.OnceValues(func() (string, error) {
	return bench.Build(context.Background(), "../..", tempDir)
})

// attackVariable makes this program the attacking process. Its value is an order.
const attackVariable = "GATECAST_HOSTILE_ATTACK"

func TestMain(m *testing.M) {
	if order := os.Getenv(attackVariable); order != "" {
		if err := serveAttack(order); err != nil {
			fmt.Fprintln(os.Stderr, "attack:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	// Attackers spend most of their time waiting for timeouts.
	if err := flag.Set("test.parallel", "20"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if tempDir, err = os.MkdirTemp("", "gatecast-hostile-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(tempDir)
	return m.Run()
}

// startServer starts a node with a registered gateway for the attacker.
func startServer(tb testing.TB, cpus *bench.CPUSet, connections int, flags ...string) (bench.Target, hostile.Target) {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	s, err := bench.StartServer(tb.Context(), bench.ServerConfig{
		Binary: path, Folder: tb.TempDir(), CPUs: cpus, Connections: connections, Flags: flags,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Errorf("%v\n%s", err, s.LogTail())
		}
	})
	t := hostile.Target{
		Gateways: s.Target.Gateways, GatewayID: "mallory",
		Internal: s.Target.Internal, AdminToken: s.Target.AdminToken,
	}
	body := map[string]string{"name": t.GatewayID, "id": t.GatewayID}
	var answer struct{ Token string }
	if err := t.Platform().Do(tb.Context(), http.MethodPost, "/gateways", body, http.StatusCreated, &answer); err != nil {
		tb.Fatal(err)
	}
	t.Token = answer.Token
	return s.Target, t
}

// metrics returns the node's metrics by name and labels.
func metrics(tb testing.TB, t hostile.Target) map[string]float64 {
	tb.Helper()
	values, err := t.Platform().Metrics(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return values
}
