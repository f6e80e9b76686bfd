// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"net/http"
	"time"
)

// Clients wait a random time in this range after a server has shut down: it disconnects all its
// gateways at once, and they must not all reconnect at once.
const (
	spreadMin = 1 * time.Second
	spreadMax = 10 * time.Second
)

// A backoff computes the wait before the next attempt.
type backoff struct {
	min, max time.Duration
	random   func(n time.Duration) time.Duration // uniform, from 0 to n

	ceiling time.Duration // of the last wait; 0 before the first
}

// next returns the wait after a connection that lasted for lived and ended with err. A failed
// attempt has lived 0. A connection that lasted longer than the maximum wait resets the backoff.
//
// The wait is random between 0 and the ceiling ("full jitter"), also the first one: gateways that
// lost their server at the same moment must not reconnect at the same moment.
func (b *backoff) next(err error, lived time.Duration) time.Duration {
	if lived >= b.max {
		b.ceiling = 0
	}
	b.ceiling = min(max(b.min, 2*b.ceiling), b.max)
	wait := b.random(b.ceiling)
	if e, ok := errors.AsType[*RefusedError](err); ok {
		return e.RetryAfter + wait
	}
	if goneAway(err) {
		return max(wait, spreadMin+b.random(spreadMax-spreadMin))
	}
	return wait
}

// goneAway reports whether the server closed the connection because it shuts down.
func goneAway(err error) bool {
	e, ok := errors.AsType[*CloseError](err)
	if !ok {
		return false
	}
	switch e.Code {
	case CloseNormal, CloseGoingAway, CloseServiceRestart:
		return true
	}
	return false
}

// final reports whether every further attempt would fail with the same error.
func final(err error) bool {
	if e, ok := errors.AsType[*CloseError](err); ok {
		return e.Code == ClosePolicyViolation
	}
	if e, ok := errors.AsType[*RefusedError](err); ok {
		switch e.Status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
			http.StatusConflict, http.StatusUnprocessableEntity:
			return true
		}
	}
	return false
}
