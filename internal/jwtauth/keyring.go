// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package jwtauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// urlInterval and fileInterval are how often keys are loaded.
	urlInterval  = 30 * time.Second
	fileInterval = 5 * time.Second
	// retryInterval is the time between loads while they fail. It is also the least time
	// between two loads that unknown key ids ask for.
	retryInterval = 5 * time.Second
	// loadTimeout limits a load.
	loadTimeout = 3 * time.Second
	// maxWaiting limits the connections that wait for a load, because they hold a place
	// for handshakes. Others get 503.
	maxWaiting = 32
	// maxKeySetBytes limits the text of a key set.
	maxKeySetBytes = 1 << 20
)

// A keyring has the issuer's newest keys. Any goroutine can call its methods.
type keyring struct {
	// Constant.
	read      func(context.Context) ([]byte, error)
	interval  time.Duration
	withdrawn func()                    // called when keys have left the set
	loaded    func(keys int, err error) // called after each load
	log       *slog.Logger

	set      atomic.Pointer[keySet] // nil: no load has succeeded yet
	requests chan struct{}          // capacity 1: wakes the keyring's goroutine

	mu        sync.Mutex
	pending   *load     // requested or in progress; nil: none
	began     time.Time // of the newest load
	succeeded time.Time // when the load of the current set began
	waiting   int       // goroutines that wait for pending

	lastError string // owned by the goroutine that loads
}

// A load is one load of the keys.
type load struct{ done chan struct{} }

// isURL reports whether a source of keys is a URL. Any other is a file.
func isURL(source string) bool {
	return strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://")
}

// readURL returns a function that gets a key set from a URL.
func readURL(url string, transport http.RoundTripper) func(context.Context) ([]byte, error) {
	client := &http.Client{
		Transport: transport,
		// A redirect could lead away from TLS.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/jwk-set+json, application/json")
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("answered with status %d; want 200", resp.StatusCode)
		}
		return readLimited(resp.Body)
	}
}

// readFile returns a function that reads a key set from a file.
func readFile(name string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		if info, err := os.Stat(name); err != nil {
			return nil, err
		} else if !info.Mode().IsRegular() { // a pipe could block
			return nil, fmt.Errorf("%s is not a regular file", name)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		return readLimited(f)
	}
}

func readLimited(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeySetBytes+1))
	if err == nil && len(text) > maxKeySetBytes {
		err = fmt.Errorf("is longer than %d bytes", maxKeySetBytes)
	}
	return text, err
}

// run loads the keys until ctx ends: at intervals, and when someone asks.
func (k *keyring) run(ctx context.Context, err error) {
	timer := time.NewTimer(k.pause(err))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.requests:
		case <-timer.C:
		}
		timer.Reset(k.pause(k.load(ctx)))
	}
}

// pause returns the time until the next load.
func (k *keyring) pause(err error) time.Duration {
	if err != nil {
		return min(retryInterval, k.interval)
	}
	return k.interval
}

// load loads the keys. One goroutine at a time calls it.
func (k *keyring) load(ctx context.Context) error {
	k.mu.Lock()
	if k.pending == nil {
		k.pending = &load{make(chan struct{})}
	}
	k.began = time.Now()
	k.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	text, err := k.read(ctx)
	var set *keySet
	var skipped []error
	if err == nil {
		set, skipped, err = parseKeySet(text, k.set.Load())
	}
	if err == nil {
		k.replace(set, skipped)
	}
	k.report(err)

	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.succeeded = k.began
	}
	close(k.pending.done)
	k.pending = nil
	return err
}

// replace puts a set in use, and ends what keys have signed that are not in it.
func (k *keyring) replace(set *keySet, skipped []error) {
	old := k.set.Swap(set)
	if gone := set.withdraw(old); gone > 0 {
		k.log.Info("keys have left the issuer's set; tokens signed with them are revoked", "keys", gone)
		k.withdrawn()
	}
	if old == nil || len(old.keys) != len(set.keys) {
		k.log.Info("keys for signed tokens loaded", "keys", len(set.keys))
		for _, reason := range skipped {
			k.log.Info("a key of the issuer's set is not used", "reason", reason)
		}
	}
}

// report counts a load, and logs when loads start to fail and when they succeed again.
func (k *keyring) report(err error) {
	keys, text := 0, ""
	if set := k.set.Load(); set != nil {
		keys = len(set.keys)
	}
	k.loaded(keys, err)
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == k.lastError:
	case err == nil:
		k.log.Info("keys for signed tokens can be loaded again", "keys", keys)
	case keys == 0:
		k.log.Error("cannot load keys for signed tokens; gateways that present one get 503 until it works", "error", err)
	default:
		k.log.Error("cannot load keys for signed tokens; the last good keys stay in use; retrying", "error", err, "keys", keys)
	}
	k.lastError = text
}

// request has the keys loaded soon.
func (k *keyring) request() {
	select {
	case k.requests <- struct{}{}:
	default: // one is pending
	}
}

// await waits for a load that began after the last one, if one can be requested, for
// someone who did not find a key. It returns when the load of the current set began, or
// false when that is not known in time.
func (k *keyring) await(now time.Time) (succeeded time.Time, ok bool) {
	k.mu.Lock()
	if k.pending == nil && now.Sub(k.began) < retryInterval {
		defer k.mu.Unlock()
		return k.succeeded, k.succeeded.Equal(k.began)
	}
	if k.waiting >= maxWaiting {
		k.mu.Unlock()
		return time.Time{}, false
	}
	if k.pending == nil {
		k.pending = &load{make(chan struct{})}
		k.request()
	}
	l := k.pending
	k.waiting++
	k.mu.Unlock()

	timer := time.NewTimer(loadTimeout)
	defer timer.Stop()
	select {
	case <-l.done:
		ok = true
	case <-timer.C:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting--
	return k.succeeded, ok && k.succeeded.Equal(k.began)
}
