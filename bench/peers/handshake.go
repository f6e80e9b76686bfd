// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/bench"
)

// measureHandshakes measures crypto/tls's part of the storm: as many connections, as many at the
// same time, with only a handshake each.
func measureHandshakes(ctx context.Context, r *runner, plaintext bool) (result bench.Result, err error) {
	n := r.sizes.conns / 2
	result = bench.Result{Workload: "handshake", Transport: "wss", Connections: n}
	err = r.withServer(ctx, handshake, plaintext, func(t bench.Target) error {
		before, err := t.Process.CPU()
		if err != nil {
			return err
		}
		begin := time.Now()
		conns, err := dialAll(ctx, t, n)
		took := time.Since(begin)
		defer closeAll(conns)
		if err != nil {
			return err
		}
		// The server may still process its last handshakes: 32 of thousands.
		after, err := t.Process.CPU()
		if err != nil {
			return err
		}
		result.Figures = []bench.Figure{
			{Name: serverCPU, Unit: "µs/connect", Value: float64((after - before).Microseconds()) / float64(n)},
			{Name: "connects", Unit: "connects/s", Value: float64(n) / took.Seconds()},
		}
		return nil
	})
	return result, err
}

// dialAll makes n connections, as many at the same time as the storm. The caller closes them, also
// after an error.
func dialAll(ctx context.Context, t bench.Target, n int) ([]*tls.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]*tls.Conn, n)
	dialer := tls.Dialer{Config: t.TLS}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range dialers {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				c, err := dialer.DialContext(ctx, "tcp", t.Gateways)
				if err != nil {
					cancel(err)
					return
				}
				conns[i] = c.(*tls.Conn)
			}
		})
	}
	workers.Wait()
	return conns, context.Cause(ctx)
}

// closeAll closes the connections without a close handshake, because the server is stopped next.
func closeAll(conns []*tls.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.NetConn().Close()
		}
	}
}
