// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A Status is the delivery status of an event, counted in gateways.
type Status struct {
	ID            string    `json:"id"`
	Type          string    `json:"type"`
	Timestamp     time.Time `json:"timestamp"`
	CorrelationID string    `json:"correlationId"`

	Targets   int `json:"targets"`   // gateways that the event is for
	Delivered int `json:"delivered"` // of Targets: the event was written to a connection
	Acked     int `json:"acked"`     // of Delivered: the gateway acked it as applied
	Failed    int `json:"failed"`    // of Delivered: the gateway acked it as failed
	Pending   int `json:"pending"`   // of Targets: not written yet

	FailedGateways  []string `json:"failedGateways"`  // at most 1000
	PendingGateways []string `json:"pendingGateways"` // at most 1000
	Truncated       bool     `json:"truncated"`       // the lists have fewer gateways than the counts
	NotAnswered     []string `json:"notAnswered"`     // nodes that did not answer: what only they know is missing
}

// Status returns the delivery status of an event that is still retained.
func (c *Client) Status(ctx context.Context, id string) (Status, error) {
	var s Status
	err := c.retry(ctx, c.cfg.AttemptTimeout, func(ctx context.Context) error {
		s = Status{}
		return c.call(ctx, http.MethodGet, pathOf("events", id), nil, &s)
	})
	return s, err
}

// A Goal is what [Client.Wait] waits for.
type Goal string

// Goals.
const (
	// Delivered: the event was written to a connection of each gateway.
	Delivered Goal = "delivered"
	// Applied: each gateway acked the event as applied.
	Applied Goal = "applied"
)

// ErrNoTargets is the cause of a [*WaitError] about an event that is for no gateway.
var ErrNoTargets = errors.New("the event is for no gateway")

// ErrFailed is the cause of a [*WaitError] about an event that a gateway acked as failed.
var ErrFailed = errors.New("gateways acked the event as failed")

// A WaitError is why an event has not reached its goal.
type WaitError struct {
	Goal   Goal
	Status Status // the last one
	Err    error  // ErrNoTargets, ErrFailed, or the end of the context
}

// Error implements error.
func (e *WaitError) Error() string {
	s := &e.Status
	return fmt.Sprintf("event %s is not %s by all gateways: %v (%d targets, %d delivered, %d acked, %d failed, %d pending)",
		s.ID, e.Goal, e.Err, s.Targets, s.Delivered, s.Acked, s.Failed, s.Pending)
}

// Unwrap returns the cause.
func (e *WaitError) Unwrap() error { return e.Err }

// Waits between two polls of [Client.Wait]. Each is half as long again as the one before.
const (
	firstPoll = 20 * time.Millisecond
	lastPoll  = 2 * time.Second
)

// Wait polls the status of an event until all gateways that the event is for have reached the
// goal. It ends with a [*WaitError] when one of them acks the event as failed before that, when
// there is no gateway, and when ctx ends. Any other error is that of [Client.Status].
func (c *Client) Wait(ctx context.Context, id string, goal Goal) (Status, error) {
	if goal != Delivered && goal != Applied {
		return Status{}, fmt.Errorf("platform: %q is not a goal: want Delivered or Applied", goal)
	}
	known := false // last is a status
	var last Status
	for wait := firstPoll; ; wait = min(wait*3/2, lastPoll) {
		s, err := c.Status(ctx, id)
		switch {
		case err != nil && known && ctx.Err() != nil:
			return last, &WaitError{goal, last, err}
		case err != nil:
			return last, err
		}
		last, known = s, true
		if s.reached(goal) {
			return s, nil
		}
		if err := s.obstacle(); err != nil {
			return s, &WaitError{goal, s, err}
		}
		if err := sleep(ctx, wait); err != nil {
			return s, &WaitError{goal, s, err}
		}
	}
}

// reached reports whether all targets have reached the goal.
func (s *Status) reached(goal Goal) bool {
	n := s.Delivered
	if goal == Applied {
		n = s.Acked
	}
	return s.Targets > 0 && n >= s.Targets
}

// obstacle returns why the goal cannot be reached, nil if it still can.
func (s *Status) obstacle() error {
	switch {
	case s.Targets == 0:
		return ErrNoTargets
	case s.Failed > 0:
		return ErrFailed
	}
	return nil
}

// sleep waits for d, or until ctx ends.
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
