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

// A Phase is a state of [Run].
type Phase int

// The phases of [Run], in the order in which they follow each other.
const (
	Connecting Phase = iota // an attempt has started
	Connected               // the server has sent its ack; events can arrive
	Waiting                 // the connection ended or the attempt failed; Run waits to reconnect
)

// String returns the phase in lower case, as in log lines.
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

// A State is a change of Run's connection, as passed to Config.OnState.
type State struct {
	Phase Phase
	Ack   Ack // if Connected
	// Err is why there is no connection, if Waiting. If Connected, Err is nil, or why the
	// position could not be saved; the next event saves it again.
	Err    error
	Wait   time.Duration // until the next attempt, if Waiting
	Cursor string        // the position: the id of the last event handled, or where Run began
}

// Run connects to the server and calls cfg.Handler with each event, until ctx ends; then it
// returns the cause of ctx. After a lost connection it reconnects and resumes. While Run runs,
// each event is handled once and in order. If the process ends after the handler returned and
// before cfg.Cursor stored the position, the next process handles that event again.
//
// Run returns before ctx ends only if every further attempt would fail in the same way: the config
// is invalid; cfg.Cursor cannot be loaded; the server answers with 401, 403, 404, 409 or 422 (the
// error wraps a [*RefusedError]); or the server closes with 1008 (it wraps a [*CloseError]).
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	if _, err := cfg.endpoint(); err != nil {
		return err
	}
	if cfg.Handler == nil {
		return errors.New("client: Config.Handler is missing: Run calls it with each event")
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
		r.report(State{Phase: Waiting, Err: err, Wait: wait})
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// A runner is one call of Run. cfg.Since is the current position. It belongs to Run's goroutine.
type runner struct {
	cfg  Config
	conn *Conn
}

// report passes s to OnState, with the current position.
func (r *runner) report(s State) {
	s.Cursor = r.cfg.Since
	r.cfg.OnState(s)
}

// session opens one connection and handles its events until it ends. It returns how long the
// connection lasted and why it ended.
func (r *runner) session(ctx context.Context) (lived time.Duration, err error) {
	r.report(State{Phase: Connecting})
	if r.conn, err = Dial(ctx, r.cfg); err != nil {
		return 0, err
	}
	defer func() { _ = r.conn.Close() }() // Run returns why the connection ended
	start := time.Now()
	if ack := r.conn.Accepted(); r.cfg.Since == "" {
		// Take the ack's cursor, so that nothing after it is missed if the connection ends before
		// the first event. But keep a position that the server refused until its resync is
		// handled: otherwise the resync is missed if the connection ends before it arrives.
		r.moveTo(ctx, ack.Cursor)
	}
	r.report(State{Phase: Connected, Ack: r.conn.Accepted()})
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

// handle handles one message of the server.
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
		return nil // a message type of a newer server
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

// moveTo sets and saves a new position.
func (r *runner) moveTo(ctx context.Context, position string) {
	r.cfg.Since = position
	// The event was handled, so the position is saved also when ctx has ended.
	if err := r.cfg.Cursor.Save(context.WithoutCancel(ctx), position); err != nil {
		r.report(State{Phase: Connected, Ack: r.conn.Accepted(), Err: err})
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
