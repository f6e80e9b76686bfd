// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/client/platform"
	"github.com/gatecast/gatecast/internal/certs"
)

// startTimeout is how long a client command waits for a node that is starting: for its
// admin token, its listener and its readiness. Tests shorten it.
var startTimeout = 10 * time.Second

// probeInterval is the time between two probes of a node that is starting.
const probeInterval = 50 * time.Millisecond

// await waits until the node responds, and returns a client of it. A command that changes
// something also waits until the node is ready, because its request is sent only once. A node
// that is not ready in time gets the request all the same: its response says what is wrong.
func (f *adminFlags) await(ctx context.Context, changes bool) (*platform.Client, error) {
	node, err := f.client("")
	if err != nil {
		return nil, err
	}
	token, err := f.awaitToken(ctx, node, changes)
	if err != nil {
		return nil, err
	}
	return f.client(token)
}

// awaitToken waits like await, and returns the admin token.
func (f *adminFlags) awaitToken(ctx context.Context, node *platform.Client, changes bool) (token string, err error) {
	defer node.Close()                                                        // its idle connections
	waiting, cancel := context.WithTimeout(ctx, startTimeout+probeInterval/2) // so that it does not end with a tick
	defer cancel()
	// A fixed interval: a start takes from milliseconds to seconds, and a probe costs little.
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	var last error // of the probe before
	for {
		began := time.Now()
		// A new file is read for each probe: a node on its first start has no token yet.
		token, again, err := f.probe(waiting, node, changes)
		if waiting.Err() != nil && last != nil && time.Since(began) < time.Second {
			err = last // this probe was interrupted too early to tell anything
		}
		last = err
		if ctx.Err() != nil {
			return "", fmt.Errorf("interrupted while waiting for the node at %s", f.InternalURL)
		}
		if !again {
			return token, err
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
		}
		if waiting.Err() != nil {
			return token, err // nil for a node that responds and is not ready
		}
	}
}

// probe asks the node once whether it is ready, and returns its admin token. It reports whether
// another probe can have a better result, and what is wrong now. An error without another probe
// is final.
func (f *adminFlags) probe(ctx context.Context, node *platform.Client, changes bool) (token string, again bool, err error) {
	if token, err = auth.ReadAdminToken(f.AdminTokenFile); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", true, fmt.Errorf("--admin-token-file: %w; a node creates it on its first start: is gatecast serve running, with its data folder here?", err)
		}
		return "", false, fmt.Errorf("--admin-token-file: %w", err)
	}
	err = node.Ready(ctx)
	response, responded := errors.AsType[*platform.Error](err)
	switch {
	case isRefused(err), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return token, true, f.explain(err) // EOF and reset: a port forwarder whose node does not listen yet
	case errors.Is(err, context.DeadlineExceeded):
		return token, true, fmt.Errorf("the node at %s accepts connections and does not respond; it may still be opening its log", f.InternalURL)
	case err != nil && !responded:
		return token, false, f.explain(err)
	case responded:
		switch response.Status {
		// 502 and 504 are a proxy's, in front of a node that is starting.
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return token, changes, nil
		}
	}
	return token, false, nil // also for a 404 of a proxy that does not forward /ready
}

// explain returns the error of a request. If there was no response, it says what to do.
func (f *adminFlags) explain(err error) error {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case isRefused(err):
		return fmt.Errorf("no node responds at %s; is gatecast serve running there?", f.InternalURL)
	case untrusted:
		return fmt.Errorf("%w; give the certificate of the internal route, or its authority's, with --internal-ca", err)
	}
	return err
}

// isRefused reports whether nothing listens at an address.
func isRefused(err error) bool {
	return errors.Is(err, errRefused)
}

// client returns a client of the node. It trusts the certificates of --internal-ca, or the
// system's. Without a token it can only ask whether the node is ready.
func (f *adminFlags) client(token string) (*platform.Client, error) {
	trust, err := f.trust()
	if err != nil {
		return nil, err
	}
	return newNode(platform.Config{URL: f.InternalURL, Token: token, TLS: trust})
}

// newNode returns a client of the node at cfg.URL, which is the value of --internal-url.
func newNode(cfg platform.Config) (*platform.Client, error) {
	if _, err := serverURL("--internal-url", cfg.URL, "http", "https"); err != nil {
		return nil, err
	}
	node, err := platform.New(cfg)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--internal-url: %w", err)}
	}
	return node, nil
}

// trust returns the TLS configuration for the internal route, nil for the system's roots.
func (f *adminFlags) trust() (*tls.Config, error) {
	if f.InternalCA == "" {
		return nil, nil
	}
	roots, err := certs.LoadPool(f.InternalCA)
	if err != nil {
		return nil, fmt.Errorf("--internal-ca: %w", err)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
