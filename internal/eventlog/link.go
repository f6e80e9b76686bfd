// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"fmt"
	"sync"
)

// A link is whether there is a connection to the servers. What reads with a consumer
// ends when the connection is lost and begins again on the next one: left to itself, a
// consumer finds out by missing heartbeats, many seconds after the servers are back.
type link struct {
	mu   sync.Mutex
	up   chan struct{} // closed while there is a connection
	down chan struct{} // closed when it is lost; replaced by the next
}

func newLink() *link {
	l := &link{up: make(chan struct{}), down: make(chan struct{})}
	close(l.down)
	return l
}

// gained says that there is a connection.
func (l *link) gained() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.down:
		l.down = make(chan struct{})
		close(l.up)
	default: // it was known
	}
}

// lost says that there is none any more.
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

func (l *link) state() (up, down chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.down
}

// connected waits until there is a connection. The context that it returns ends with
// ctx and when the connection is lost, then with errCut as its cause.
func (l *Log) connected(ctx context.Context) (_ context.Context, cancel context.CancelFunc, err error) {
	up, _ := l.link.state()
	select {
	case <-up:
	case <-ctx.Done():
		return nil, nil, ended(ctx)
	}
	// If it was lost in between, down is closed, and the context ends at once.
	_, down := l.link.state()
	ctx, end := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-down:
			end(errCut)
		case <-stop:
		case <-ctx.Done():
		}
	}()
	return ctx, sync.OnceFunc(func() { close(stop); end(nil) }), nil
}

// errCut ends the contexts of [Log.connected] when the connection is lost.
var errCut = fmt.Errorf("%w: the connection was lost", ErrUnavailable)
