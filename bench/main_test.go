// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/test/testenv"
)

var (
	connsFlag = flag.Int("conns", 10_000, "connections of the benchmarks; storm and burst take half")
	pinFlag   = flag.Bool("pin", true, "in benchmarks, keep the server on one processor and the load on the others")
	jsonlFlag = flag.String("jsonl", "", "append the benchmarks' results to this file as JSON lines; none: standard output")
)

// loadGOGC makes garbage collections of the load rare: scanning its 10,000 stacks takes time while
// the server is measured.
const loadGOGC = 800

// tempDir is for files that outlive one test.
var tempDir string

// binary builds the server once.
var binary = sync.OnceValues(func() (string, error) {
	return bench.Build(context.Background(), "..", tempDir)
})

// stormVariable makes this program a storm process.
const stormVariable = "GATECAST_BENCH_STORM"

func TestMain(m *testing.M) {
	if os.Getenv(stormVariable) != "" {
		debug.SetGCPercent(loadGOGC)
		if err := bench.ServeStorm(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "storm:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if tempDir, err = os.MkdirTemp("", "gatecast-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(tempDir)
	code := m.Run()
	if err := printReport(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// report collects the results of the benchmarks.
var report bench.Report

func printReport() (err error) {
	if len(report.Results) == 0 {
		return nil
	}
	report.Conditions = bench.CurrentConditions(*pinFlag)
	report.WriteTable(os.Stdout)
	out := os.Stdout
	if *jsonlFlag != "" {
		if out, err = os.OpenFile(*jsonlFlag, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
	}
	return report.WriteJSON(out)
}

// split pins this process once and returns the processors of the server, or nil without -pin.
var split = sync.OnceValues(func() (*bench.CPUSet, error) {
	debug.SetGCPercent(loadGOGC)
	if !*pinFlag {
		return nil, nil
	}
	server, load, err := bench.Split()
	if err != nil {
		return nil, fmt.Errorf("%w (-pin=false)", err)
	}
	return &server, bench.Pin(load)
})

// watchLog checks at the end of a test that the server's log contains no secrets. Call hide after
// the server's start. In benchmarks it does nothing, because their logs are long.
func watchLog(tb testing.TB, folder string) (hide func()) {
	t, ok := tb.(*testing.T)
	if !ok {
		return func() {}
	}
	logs := testenv.NewLog(t)
	return func() {
		logs.File(filepath.Join(folder, "server.log"))
		logs.HideTokens(filepath.Join(folder, "data", "admin.token"))
		logs.HidePEM(filepath.Join(folder, "data", "self-signed.key"))
	}
}

// serverFlags are additional flags of withServer's servers.
var serverFlags []string

// withServer starts a new server, calls do with it, and stops it.
func withServer(tb testing.TB, plaintext bool, connections int, cpus *bench.CPUSet, do func(bench.Target)) {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	folder := tb.TempDir()
	hide := watchLog(tb, folder)
	s, err := bench.StartServer(tb.Context(), bench.ServerConfig{
		Binary: path, Folder: folder, Plaintext: plaintext,
		Connections: connections, CPUs: cpus, Flags: serverFlags,
	})
	if err != nil {
		tb.Fatal(err)
	}
	hide()
	defer func() {
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
		if tb.Failed() {
			tb.Logf("the server's log ends with:\n%s", s.LogTail())
		}
	}()
	do(s.Target)
}
