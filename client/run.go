// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Phase is what [Run] is doing.
type Phase int

// The phases of [Run], in the order in which they follow each other.
const (
	Connecting Phase = iota // an attempt has begun
	Connected               // the server has acked it; events arrive
	Waiting                 // the connection ended, or the attempt failed
)

func (p Phase) String() string {
	switch p {
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Waiting:
		return "waiting"
	}
	return fmt.Sprintf("Phase(%d)", int(p))
}

// A State is what has become of the connection of [Run].
type State struct {
	Phase Phase
	Ack   Ack // when Connected
	// Err is why there is no connection, when Waiting. When Connected it is nil, or
	// why the position could not be saved; that is tried again with the next event.
	Err    error
	Wait   time.Duration // when Waiting: until the next attempt
	Cursor string        // the position: the id of the last event that was handled, or where Run began
}

// Run keeps a connection and hands its events to cfg.Handler until ctx ends, and
// then returns the cause of that. It goes on where the last connection ended, so
// while it runs each event is handled once and in order; when the process ended
// before cfg.Cursor had the position of an event, the next one handles that again.
//
// It returns before ctx ends, with an error that says why, only when another
// attempt would end the same way: when the config is wrong or cfg.Cursor cannot be
// loaded; when the server answers 401, 403, 404, 409 or 422 ([*RefusedError]);
// and when it closes with 1008 ([*CloseError]).
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	if _, err := cfg.endpoint(); err != nil {
		return err
	}
	if cfg.Handler == nil {
		return errors.New("client: Config.Handler is missing: Run has nowhere to hand events to")
	}
	saved, err := cfg.Cursor.Load(ctx)
	if err != nil {
		return fmt.Errorf("client: Config.Cursor: %w", err)
	}
	cfg.Since = cmp.Or(saved, cfg.Since)
	r := runner{cfg: cfg}
	b := backoff{min: cfg.BackoffMin, max: cfg.BackoffMax, random: upTo}
	for {
		lived, err := r.session(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final(err):
			return fmt.Errorf("client: not reconnecting: %w", err)
		}
		wait := b.next(err, lived)
		r.tell(State{Phase: Waiting, Err: err, Wait: wait})
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// A runner is one call of Run. Its config's Since moves on with the events.
type runner struct {
	cfg  Config
	conn *Conn
}

func (r *runner) tell(s State) {
	s.Cursor = r.cfg.Since
	r.cfg.OnState(s)
}

// session makes one connection and serves it to its end. It returns for how long
// there was one, and why there is none any more.
func (r *runner) session(ctx context.Context) (lived time.Duration, err error) {
	r.tell(State{Phase: Connecting})
	if r.conn, err = Dial(ctx, r.cfg); err != nil {
		return 0, err
	}
	defer func() { _ = r.conn.Close() }() // Run returns why the connection ended
	start := time.Now()
	if ack := r.conn.Accepted(); r.cfg.Since == "" {
		// What comes behind the ack's cursor must not be missed either when the
		// connection ends before an event came. A position that the server refused
		// stays until the resync is handled, or that could be missed.
		r.moveTo(ctx, ack.Cursor)
	}
	r.tell(State{Phase: Connected, Ack: r.conn.Accepted()})
	for {
		e, err := r.conn.Next(ctx)
		if err == nil {
			err = r.handle(ctx, e)
		}
		if err != nil {
			return time.Since(start), err
		}
	}
}

// handle handles one message of the server's.
func (r *runner) handle(ctx context.Context, e Event) error {
	if resync, ok := e.Resync(); ok {
		r.cfg.OnResync(ctx, resync)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.moveTo(ctx, resync.Cursor)
		return nil
	}
	if e.ID == "" {
		return nil // of a server that is newer than this client
	}
	failure := r.cfg.Handler(context.WithValue(ctx, connKey{}, r.conn), e)
	if failure != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.moveTo(ctx, e.ID)
	switch {
	case r.cfg.NoAcks:
		return nil
	case failure != nil:
		return r.conn.FailEvent(e.ID, failure)
	}
	return r.conn.AckEvent(e.ID)
}

// moveTo keeps a new position.
func (r *runner) moveTo(ctx context.Context, position string) {
	r.cfg.Since = position
	// A Run that ends saves what was handled all the same.
	if err := r.cfg.Cursor.Save(context.WithoutCancel(ctx), position); err != nil {
		r.tell(State{Phase: Connected, Ack: r.conn.Accepted(), Err: err})
	}
}

// upTo returns a random duration from 0 to n.
func upTo(n time.Duration) time.Duration { return rand.N(n + 1) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
