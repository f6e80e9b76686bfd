// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"sync"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// A link says whether there is a connection to the servers. Readers with a consumer end when
// it is lost and start again on the next one: by itself a consumer would notice only by
// missing heartbeats, many seconds after the servers are back.
type link struct {
	mu   sync.Mutex
	up   chan struct{} // closed while there is a connection
	down chan struct{} // closed when it is lost; each connection has its own
}

// newLink returns a link without a connection.
func newLink() *link {
	l := &link{up: make(chan struct{}), down: make(chan struct{})}
	close(l.down)
	return l
}

// gained records that there is a connection.
func (l *link) gained() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.down:
		l.down = make(chan struct{})
		close(l.up)
	default: // already recorded
	}
}

// lost records that there is no connection.
func (l *link) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.down:
	default:
		close(l.down)
		l.up = make(chan struct{})
	}
}

// state returns the channels of the present connection, or of the next one.
func (l *link) state() (up, down chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.down
}

// Session implements [storage.Store].
func (s *Store) Session(ctx context.Context) (_ context.Context, cancel context.CancelFunc, err error) {
	up, _ := s.link.state()
	select {
	case <-up:
	case <-ctx.Done():
		return nil, nil, storage.Ended(ctx)
	}
	// If the connection was lost in between, down is closed, and the context ends at once.
	_, down := s.link.state()
	ctx, end := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-down:
			end(storage.ErrDisconnected)
		case <-stop:
		case <-ctx.Done():
		}
	}()
	return ctx, sync.OnceFunc(func() { close(stop); end(nil) }), nil
}
