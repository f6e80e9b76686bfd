// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/frame"
)

// A server that goes away leaves with all its gateways at once; they come back
// spread over so long.
const (
	spreadMin = 1 * time.Second
	spreadMax = 10 * time.Second
)

// A backoff says how long to wait for the next attempt.
type backoff struct {
	min, max time.Duration
	random   func(n time.Duration) time.Duration // uniform, from 0 to n

	ceiling time.Duration // of the last wait; 0 before the first
}

// next returns the wait after a connection that lived so long and ended with
// err; an attempt that failed lived for 0. A connection that outlived the longest
// wait starts the waits over.
//
// The wait is random from zero up ("full jitter"), the first one too: gateways
// that lost their server at the same moment must not come back at the same
// moment.
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

// goneAway reports whether the server closed because it goes away.
func goneAway(err error) bool {
	e, ok := errors.AsType[*CloseError](err)
	if !ok {
		return false
	}
	switch e.Code {
	case frame.CloseNormal, frame.CloseGoingAway, frame.CloseServiceRestart:
		return true
	}
	return false
}

// final reports whether another attempt would end the same way.
func final(err error) bool {
	if e, ok := errors.AsType[*CloseError](err); ok {
		return e.Code == frame.ClosePolicyViolation
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
