// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"
)

// A backoff makes the waits between the attempts of one call.
type backoff struct {
	c       *Client
	ceiling time.Duration // of the last wait; 0 before the first
}

// wait waits before the next attempt, after one that failed with err. The wait is random between
// 0 and the ceiling ("full jitter"), so that clients that lost their node at the same moment do
// not come back at the same moment. It returns an error if there must be no further attempt: err
// itself, or the end of ctx together with err.
func (b *backoff) wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, err)
	}
	if final(err) {
		return err
	}
	b.ceiling = min(max(b.c.cfg.BackoffMin, 2*b.ceiling), b.c.cfg.BackoffMax)
	wait := rand.N(b.ceiling + 1)
	if e, ok := errors.AsType[*Error](err); ok {
		wait += e.RetryAfter
	}
	b.c.cfg.OnRetry(err, wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx, err)
	}
}

// reset makes the next wait a short one.
func (b *backoff) reset() { b.ceiling = 0 }

// ended returns the error of a call whose context ended. It names the last attempt's error,
// unless that only repeats the reason.
func ended(ctx context.Context, last error) error {
	if last == nil || errors.Is(last, ctx.Err()) {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w; the last attempt failed: %w", context.Cause(ctx), last)
}

// final reports whether each further attempt would fail with the same error.
func final(err error) bool {
	if _, ok := errors.AsType[*Error](err); ok {
		return !Temporary(err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, file := errors.AsType[*fs.PathError](err) // of TokenFile
	_, local := errors.AsType[*localError](err)
	return file || local
}

// A localError is an error that no node has caused, such as an event that cannot be encoded.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// retry calls attempt until it succeeds, fails for good, or ctx ends. Each attempt has its own
// context, which ends after timeout.
func (c *Client) retry(ctx context.Context, timeout time.Duration, attempt func(context.Context) error) error {
	b := backoff{c: c}
	for {
		err := c.once(ctx, timeout, attempt)
		if err == nil {
			return nil
		}
		if err := b.wait(ctx, err); err != nil {
			return err
		}
	}
}

// once calls attempt once.
func (c *Client) once(ctx context.Context, timeout time.Duration, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return attempt(ctx)
}
