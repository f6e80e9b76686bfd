// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"

	"github.com/google/uuid"
)

// exercise calls everything of a router that any goroutine can call.
func exercise(t *testing.T, r *Router, abandoned, closed *atomic.Int64) {
	t.Helper()
	if _, _, err := r.Connections("", "", 10); err != nil && !errors.Is(err, ErrStopped) {
		t.Errorf("Page of all: %v", err)
	}
	if _, _, err := r.Connections("gw", "", 10); err != nil && !errors.Is(err, ErrStopped) {
		t.Errorf("Page of a gateway: %v", err)
	}
	if r.CloseConnection(uuid.New()) {
		t.Error("a connection that there is not was closed")
	}
	r.Kick("gw", "", event.TokenRevoked)
	r.Register(&Registration{
		Peer: Peer{GatewayID: "gw", Live: new(atomic.Int32), Revoked: func() (event.CloseReason, bool) { return 0, false }},
		ID:   uuid.New(),
		Open: func(*poller.Loop, Receiver) (Transport, error) {
			abandoned.Add(1) // a failed Open closes the connection too
			return nil, errors.New("no connection")
		},
		Abandon: func() { abandoned.Add(1) },
		Closed:  func() { closed.Add(1) },
	})
	r.Stats()
}

// Calls of other goroutines while the shards stop, and afterwards, are answered or
// refused: nothing hangs, nothing panics, and no connection stays open.
func TestUseWhileStopping(t *testing.T) {
	for range 20 {
		r, err := Start(Config{Shards: 4})
		if err != nil {
			t.Fatal(err)
		}
		var abandoned, closed, registered atomic.Int64
		var wg sync.WaitGroup
		begun := make(chan struct{}, 4)
		stopped := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for after := 0; after < 3; {
					select {
					case <-stopped:
						after++
					default:
					}
					registered.Add(1)
					exercise(t, r, &abandoned, &closed)
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range cap(begun) {
			<-begun
		}
		r.Stop()
		close(stopped)
		wg.Wait()
		if n := registered.Load(); abandoned.Load() != n || closed.Load() != n {
			t.Fatalf("of %d connections %d were closed and %d reported", n, abandoned.Load(), closed.Load())
		}
	}
}

// After Stop a question returns an error, and a goroutine that waits for a shard
// continues at once.
func TestUseAfterStop(t *testing.T) {
	r, err := Start(Config{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	r.Stop()
	r.Stop() // a second Stop does nothing
	for _, gateway := range []string{"", "gw"} {
		if _, _, err := r.Connections(gateway, "", 10); !errors.Is(err, ErrStopped) {
			t.Errorf("Page(%q) = %v, want ErrStopped", gateway, err)
		}
	}
	if err := r.Drain(context.Background(), time.Minute); err != nil {
		t.Errorf("Drain = %v", err)
	}
	for seq := uint64(1); seq < 3*maxInbox; seq++ { // more than an inbox takes
		r.Dispatch(event.Target{All: true}, &Message{Wire: []byte("x"), Cursor: event.Cursor{Epoch: 1, Seq: seq}})
	}
	r.MarkLost(10 * maxInbox)
}
