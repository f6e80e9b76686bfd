// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
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
	Ack   Ack           // when Connected
	Err   error         // when Waiting: why there is no connection
	Wait  time.Duration // when Waiting: until the next attempt
}

// Run keeps a connection and hands its events to cfg.Handler until ctx ends, and
// then returns the cause of that. It returns before, with an error that says
// why, only when another attempt would end the same way: when the config is
// wrong; when the server answers 401, 403, 404, 409 or 422 ([*RefusedError]);
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
	b := backoff{min: cfg.BackoffMin, max: cfg.BackoffMax, random: upTo}
	for {
		lived, err := session(ctx, cfg)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final(err):
			return fmt.Errorf("client: not reconnecting: %w", err)
		}
		wait := b.next(err, lived)
		cfg.OnState(State{Phase: Waiting, Err: err, Wait: wait})
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// session makes one connection and serves it to its end. It returns for how long
// there was one, and why there is none any more.
func session(ctx context.Context, cfg Config) (lived time.Duration, err error) {
	cfg.OnState(State{Phase: Connecting})
	c, err := Dial(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // Run returns why the connection ended
	start := time.Now()
	cfg.OnState(State{Phase: Connected, Ack: c.Ack()})
	for {
		e, err := c.Next(ctx)
		if err != nil {
			return time.Since(start), err
		}
		cfg.Handler(ctx, e)
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
