// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gatecast/gatecast/bench"
)

// spare is the number of connections that a server allows in addition to those of a workload.
const spare = 100

// measure runs a workload against a subject.
func (r *runner) measure(ctx context.Context, s subject, w workload, plaintext bool) (bench.Result, error) {
	if s.measure != nil {
		return s.measure(ctx, r, plaintext)
	}
	var result bench.Result
	err := r.withServer(ctx, s.name, plaintext, func(t bench.Target) (err error) {
		result, err = w.measure(ctx, t, r.sizes)
		return err
	})
	return result, err
}

// withServer starts a server in an empty folder, calls do with it, and stops it.
func (r *runner) withServer(ctx context.Context, name string, plaintext bool, do func(bench.Target) error) error {
	folder, err := os.MkdirTemp(r.folder, name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	c := bench.ServerConfig{
		Binary: r.self, Args: []string{name}, Folder: folder, Plaintext: plaintext,
		Connections: max(r.sizes.conns, r.sizes.publishGateways) + spare, CPUs: r.cpus,
	}
	if name == baseline {
		c.Binary, c.Args = r.gatecast, nil
	}
	server, err := bench.StartServer(ctx, c)
	if err != nil {
		return err
	}
	if err := errors.Join(do(server.Target), server.Stop()); err != nil {
		return fmt.Errorf("%w; the end of its log: %s", err, server.LogTail())
	}
	return nil
}
