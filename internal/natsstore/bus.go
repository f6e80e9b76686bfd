// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// busPrefix is what the subjects of the bus begin with.
const busPrefix = "gatecast.bus."

// A bus implements [storage.Bus] with NATS' publish and subscribe.
type bus struct{ conn *nats.Conn }

// Bus implements [storage.Store].
func (s *Store) Bus() storage.Bus { return bus{s.conn} }

func (b bus) Connected() bool { return b.conn.IsConnected() }

func (b bus) MaxMessage() int { return int(b.conn.MaxPayload()) }

func (b bus) Publish(subject string, data []byte) error {
	if err := b.conn.Publish(busPrefix+subject, data); err != nil {
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	return nil
}

// Subscribe implements [storage.Bus]. The mutex makes stop wait for a call of f: Unsubscribe
// alone does not.
func (b bus) Subscribe(subject string, f func(subject string, data []byte) (answer []byte)) (stop func(), err error) {
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
			_ = m.Respond(answer) // then the asking node misses it
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	return func() {
		_ = s.Unsubscribe() // fails when the connection has ended
		mu.Lock()
		defer mu.Unlock()
		stopped = true
	}, nil
}

// Ask implements [storage.Bus]. The server itself answers when there are no subscribers.
func (b bus) Ask(ctx context.Context, subject string, data []byte, f func(answer []byte) (enough bool)) error {
	// A subject of its own for the answers, because there can be more than one.
	inbox := b.conn.NewInbox()
	s, err := b.conn.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	defer func() { _ = s.Unsubscribe() }()
	if err := b.conn.PublishRequest(busPrefix+subject, inbox, data); err != nil {
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	for {
		m, err := s.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, nats.ErrNoResponders): // there are no subscribers
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
		}
		if f(m.Data) {
			return nil
		}
	}
}
