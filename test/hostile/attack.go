// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"slices"
	"sync"
	"time"
)

// An Attack is one kind of hostile behaviour of a peer.
type Attack struct {
	Name string
	// Peers is the number of connections that attack at the same time in the benchmark.
	Peers int

	once func(ctx context.Context, p *peer) (Ending, error)
}

// All returns all attacks.
func All() []Attack { return slices.Concat(beforeTheRequest, withTheRequest, onceConnected, inRecords) }

// Once attacks with one connection and returns how it ended. The connection ends at the latest with
// ctx.
func (a Attack) Once(ctx context.Context, t Target) (Ending, error) {
	p, err := dial(ctx, t)
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, p.reset)
	defer p.reset()
	defer stop()
	return a.once(ctx, p)
}

// redial is the wait of an attacker that cannot connect.
const redial = 100 * time.Millisecond

// Run attacks with all peers, again and again, until ctx ends.
func (a Attack) Run(ctx context.Context, t Target) {
	var wg sync.WaitGroup
	for range a.Peers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := a.Once(ctx, t); err == nil {
					continue
				}
				select {
				case <-ctx.Done():
				case <-time.After(redial):
				}
			}
		})
	}
	wg.Wait()
}
