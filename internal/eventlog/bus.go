// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// busPrefix is in front of the bus's subjects.
const busPrefix = "gatecast.bus."

// A Bus carries messages between the nodes that share a log. They are not kept: who
// is not there misses them. Any goroutine may use it.
type Bus struct{ conn *nats.Conn }

// Bus returns the log's bus.
func (l *Log) Bus() *Bus { return &Bus{l.conn} }

// Connected reports whether messages can be sent and received now.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// MaxMessage returns how many bytes a message may have.
func (b *Bus) MaxMessage() int { return int(b.conn.MaxPayload()) }

// Publish sends a message to whoever has subscribed.
func (b *Bus) Publish(subject string, data []byte) error {
	if err := b.conn.Publish(busPrefix+subject, data); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// Subscribe calls f with every message under a subject, in which * stands for any
// word, until stop is called; this node's own among them. F runs on a goroutine of
// the subscription's, and stop waits for it. What it returns is the answer to who asked,
// unless it is nil.
func (b *Bus) Subscribe(subject string, f func(subject string, data []byte) (answer []byte)) (stop func(), err error) {
	var mu sync.Mutex // held while f runs
	stopped := false
	s, err := b.conn.Subscribe(busPrefix+subject, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		answer := f(strings.TrimPrefix(m.Subject, busPrefix), m.Data)
		if answer != nil && m.Reply != "" {
			_ = m.Respond(answer) // who asked will miss it
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return func() {
		_ = s.Unsubscribe() // fails when the connection has ended
		mu.Lock()
		defer mu.Unlock()
		stopped = true
	}, nil
}

// Ask sends a message and hands every answer to f, until f says that it has enough
// or ctx ends, which is no error. Where nobody listens it ends at once.
func (b *Bus) Ask(ctx context.Context, subject string, data []byte, f func(answer []byte) (enough bool)) error {
	inbox := b.conn.NewInbox()
	s, err := b.conn.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = s.Unsubscribe() }()
	if err := b.conn.PublishRequest(busPrefix+subject, inbox, data); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for {
		m, err := s.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, nats.ErrNoResponders): // the server says that nobody is there
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if f(m.Data) {
			return nil
		}
	}
}
