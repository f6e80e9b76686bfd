// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

const (
	// OpenPatience is how long a cluster can take to elect a leader while a node starts,
	// for example because a server was just lost.
	OpenPatience = 30 * time.Second
	openTry      = 3 * time.Second
	openPause    = 250 * time.Millisecond

	// authPatience is how long the servers can refuse the connection while the store is
	// opened: while a password is changed, some servers know only the old one.
	authPatience = 5 * time.Second
)

// handlers are called when the connection changes. The event log sets them when it is opened,
// after the store has connected.
type handlers struct {
	lost     func(error)
	regained func()
}

// OnConnection implements [storage.Store].
func (s *Store) OnConnection(lost func(error), regained func()) {
	s.handlers.Store(&handlers{lost, regained})
}

// Connected implements [storage.Store].
func (s *Store) Connected() bool { return s.conn.IsConnected() }

// connectPatiently connects, and tries again for a while when the servers refuse it.
func (s *Store) connectPatiently(ctx context.Context) (*nats.Conn, error) {
	for deadline := time.Now().Add(authPatience); ; {
		c, err := s.connect()
		if err == nil || !isAuthError(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return c, err
		}
		s.refused(nil, err)
		sleep(ctx, openPause)
	}
}

// connect connects once. The handlers run on goroutines of the connection, in order.
func (s *Store) connect() (*nats.Conn, error) {
	url, options := s.backend.address()
	options = append(options, s.cfg.Options...)
	return nats.Connect(url, append(options,
		nats.MaxReconnects(-1),
		// Otherwise two refusals in a row, as while a password is changed, would close the
		// connection for good.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectErrHandler(s.refused),
		nats.ClosedHandler(s.closedForGood),
		nats.ReconnectBufSize(-1), // see the rules in doc.go
		nats.ReconnectHandler(s.regained),
		nats.DisconnectErrHandler(s.lost),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.noteDenied(err)
			s.cfg.Logger.Warn("event log: nats client error", "err", err)
		}),
	)...)
}

// regained is called after each reconnect, not after the first connect.
func (s *Store) regained(*nats.Conn) {
	s.cfg.Logger.Info("event log: reconnected to " + s.String())
	s.link.gained()
	if h := s.handlers.Load(); h != nil {
		h.regained()
	}
}

// lost is called when the connection is lost. Readers end first, so that none of them reads
// from the next connection what belongs to a checked history.
func (s *Store) lost(_ *nats.Conn, err error) {
	s.link.lost()
	if err != nil {
		s.cfg.Logger.Error("event log: connection to "+s.String()+" lost", "err", err)
	}
	s.refusal.Store(nil)
	if h := s.handlers.Load(); h != nil {
		h.lost(fmt.Errorf("%w: connection to %s lost", storage.ErrUnavailable, s))
	}
}

// refused logs why the servers refuse the connection, once for each reason.
func (s *Store) refused(_ *nats.Conn, err error) {
	text := err.Error()
	if was := s.refusal.Swap(&text); was == nil || *was != text {
		s.cfg.Logger.Error("event log: no connection to "+s.String()+"; trying again", "err", err)
	}
}

// closedForGood is called when the connection has ended for good. The client does that by
// itself after an error that it does not know. It cannot be opened again.
func (s *Store) closedForGood(c *nats.Conn) {
	if s.ctx.Err() != nil {
		return
	}
	err := fmt.Errorf("%w: the connection to %s was closed for good: %w", storage.ErrUnavailable, s, c.LastError())
	s.cfg.Logger.Error("event log: no connection", "err", err)
	s.cfg.OnLost(err)
}

// isAuthError reports whether the servers did not accept the credentials.
func isAuthError(err error) bool {
	for _, target := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// keyHeaders is about what the key and the idempotency key of an event take in a message.
const keyHeaders = 1 << 10

// warnOfMaxPayload warns when the cluster does not take the largest events.
func (s *Store) warnOfMaxPayload() {
	if !s.Shared() {
		return
	}
	takes, want := s.conn.MaxPayload(), int64(s.cfg.MaxEventBytes)
	args := []any{"maxPayload", takes, "largestEvent", want}
	switch {
	case takes < want:
		s.cfg.Logger.Warn("event log: max_payload of "+s.String()+" is below --max-payload: larger events are refused; raise the first or lower the second", args...)
	case takes < want+keyHeaders:
		s.cfg.Logger.Info("event log: max_payload of "+s.String()+" has no room for the headers of the largest events; those with a key or many gateways can be refused", args...)
	}
}

// Retry implements [storage.Store].
func (s *Store) Retry(ctx context.Context, each time.Duration, open func(context.Context) error) error {
	if !s.Shared() {
		return open(ctx)
	}
	for began := time.Now(); ; {
		try, cancel := context.WithTimeout(ctx, each)
		err := s.judge(open(try))
		cancel()
		if err == nil || isFinal(ctx, err, began) {
			return err
		}
		s.cfg.Logger.Warn("event log: the cluster is not ready; trying again", "err", err)
		time.Sleep(openPause)
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
