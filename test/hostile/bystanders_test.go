// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/test/hostile"
)

var (
	bystandersFlag = flag.Int("bystanders", 1000, "connections that must not notice the attacks")
	partFlag       = flag.Duration("part", 5*time.Second, "how long the benchmark attacks at a time")
	roundsFlag     = flag.Int("rounds", 3, "how often the benchmark attacks, with as much quiet between")
)

const (
	bystanderRate  = 200 // events per second
	bystanderBytes = 200 // per event
	roomForPeers   = 1000
)

// BenchmarkBystanders measures, for each attack, its effect on 1,000 other connections and its cost
// for the node.
func BenchmarkBystanders(b *testing.B) {
	server, load, err := bench.Split()
	if err != nil {
		b.Fatal(err)
	}
	if err := bench.Pin(load); err != nil {
		b.Fatal(err)
	}
	for _, a := range hostile.All() {
		b.Run(a.Name, func(b *testing.B) {
			for b.Loop() {
				bystand(b, a, server)
			}
		})
	}
}

func bystand(b *testing.B, a hostile.Attack, cpus bench.CPUSet) {
	target, mallory := startServer(b, &cpus, *bystandersFlag+roomForPeers)
	var during []map[string]float64 // metrics at the end of each attack
	r, err := bench.Bystanders(b.Context(), target, bench.BystandersConfig{
		Connections: *bystandersFlag, Rate: bystanderRate, EventBytes: bystanderBytes, Part: *partFlag, Rounds: *roundsFlag,
		Trouble: func(ctx context.Context) error {
			return attack(ctx, order{a.Name, mallory}, func() { during = append(during, metrics(b, mallory)) })
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range r.Figures {
		b.ReportMetric(f.Value, f.Name+"-"+f.Unit)
	}
	quiet, _ := r.Figure("quiet-p99")
	trouble, _ := r.Figure("trouble-p99")
	b.ReportMetric(trouble/quiet, "p99-ratio")
	b.ReportMetric(largest(during, "go_goroutines"), "goroutines")
	b.ReportMetric(largest(during, "process_resident_memory_bytes")/(1<<20), "rss-MiB")
	b.ReportMetric(0, "ns/op") // has no meaning here
}

// largest returns the largest value of a metric.
func largest(all []map[string]float64, name string) float64 {
	values := []float64{0}
	for _, m := range all {
		values = append(values, m[name])
	}
	return slices.Max(values)
}

// An order is the input of the attacking process.
type order struct {
	Attack string         `json:"attack"`
	Target hostile.Target `json:"target"`
}

// attackEndTimeout bounds the end of the attacking process.
const attackEndTimeout = 10 * time.Second

// attack attacks from another process until ctx ends. The process has the lowest priority, so that
// it does not take CPU time from the load that measures. attack calls atEnd before it ends the
// process.
func attack(ctx context.Context, o order, atEnd func()) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	cmd := exec.Command("nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), attackVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the attack: %w", err)
	}
	<-ctx.Done()
	atEnd()
	kill := time.AfterFunc(attackEndTimeout, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return errors.Join(alive.Close(), cmd.Wait())
}

// serveAttack is the main function of the attacking process. It attacks until its standard input
// ends.
func serveAttack(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	i := slices.IndexFunc(hostile.All(), func(a hostile.Attack) bool { return a.Name == o.Attack })
	if i < 0 {
		return fmt.Errorf("there is no attack %q", o.Attack)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	hostile.All()[i].Run(ctx, o.Target)
	return nil
}
