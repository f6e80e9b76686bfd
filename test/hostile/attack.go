// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"slices"
	"sync"
	"time"
)

// An Attack is one way to be hostile.
type Attack struct {
	Name string
	// Peers is how many connections do it at once, when others are to notice.
	Peers int

	once func(ctx context.Context, p *peer) (Ending, error)
}

// All returns every attack there is.
func All() []Attack { return slices.Concat(beforeTheRequest, withTheRequest, onceConnected, inRecords) }

// Once attacks with one connection, and says how it ended. The context's end is
// the connection's.
func (a Attack) Once(ctx context.Context, t Target) (Ending, error) {
	p, err := dial(ctx, t)
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, p.hangUp)
	defer p.hangUp()
	defer stop()
	return a.once(ctx, p)
}

// redial is how long an attacker waits who cannot connect.
const redial = 100 * time.Millisecond

// Run attacks with all peers, each again and again, until the context ends.
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
