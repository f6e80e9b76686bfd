// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/bench/peers/jetstream"
)

// measureJetStream measures JetStream's part of publishing in bulk: publisher, stream and consumer
// in one process, on the server's processor.
func measureJetStream(ctx context.Context, r *runner, plaintext bool) (result bench.Result, err error) {
	result = bench.Result{Workload: jetStream, Transport: "wss"}
	if plaintext {
		result.Transport = "ws"
	}
	folder, err := os.MkdirTemp(r.folder, jetStream+"-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(folder)
	args := []string{jetStream, "-folder", folder, "-events", strconv.Itoa(r.sizes.publishEvents)}
	if r.cpus != nil {
		args = append(args, "-cpu", strconv.Itoa(only(*r.cpus)))
	}
	cmd := exec.CommandContext(ctx, r.self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return result, fmt.Errorf("%w\n%s", err, complaint.Bytes())
	}
	var rate float64
	if err := json.Unmarshal(out, &rate); err != nil {
		return result, fmt.Errorf("cannot read its rate: %w", err)
	}
	result.Figures = []bench.Figure{{Name: "received", Unit: "events/s", Value: rate}}
	return result, nil
}

// only returns the single processor of a set made by [bench.Split].
func only(set bench.CPUSet) int {
	cpu := 0
	for !set.IsSet(cpu) {
		cpu++
	}
	return cpu
}

// printJetStream measures and prints the rate.
func printJetStream(ctx context.Context, args []string) error {
	c := jetstream.Config{EventBytes: eventBytes}
	flags := flag.NewFlagSet(jetStream, flag.ExitOnError)
	flags.StringVar(&c.Folder, "folder", "", "where the store is made")
	flags.IntVar(&c.Events, "events", 50_000, "how many are published")
	flags.IntVar(&c.Subjects, "subjects", 100, "how many they go to by turns")
	cpu := flags.Int("cpu", -1, "the processor to stay on; -1: any")
	_ = flags.Parse(args) // exits on an error
	if *cpu >= 0 {
		var set bench.CPUSet
		set.Set(*cpu)
		if err := bench.Pin(set); err != nil {
			return err
		}
	}
	rate, err := jetstream.Rate(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println(rate)
	return nil
}
