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
	"strings"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/certs"
)

// startTimeout is how long a client command waits for a node that is starting: for its
// admin token, its listener and its readiness. Tests shorten it.
var startTimeout = 10 * time.Second

// probeInterval is the time between two probes of a node that is starting.
const probeInterval = 50 * time.Millisecond

// An internalRoute is how a client command reaches a node that has responded.
type internalRoute struct {
	url   string // without a trailing slash
	token string // of --admin-token-file; the first one, if it has several
	http  *http.Client
}

// await waits until the node responds. A command that changes something also waits until
// the node is ready, because its request is sent only once. A node that is not ready in
// time gets the request all the same: its response says what is wrong.
func (f *adminFlags) await(ctx context.Context, client *http.Client, changes bool) (*internalRoute, error) {
	r := &internalRoute{url: strings.TrimSuffix(f.InternalURL, "/"), http: client}
	waiting, cancel := context.WithTimeout(ctx, startTimeout+probeInterval/2) // so that it does not end with a tick
	defer cancel()
	// A fixed interval: a start takes from milliseconds to seconds, and a probe costs little.
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	var last error // of the probe before
	for {
		began := time.Now()
		// A new file is read for each probe: a node on its first start has no token yet.
		again, err := f.probe(waiting, r, changes)
		if waiting.Err() != nil && last != nil && time.Since(began) < time.Second {
			err = last // this probe was interrupted too early to tell anything
		}
		last = err
		if ctx.Err() != nil {
			return nil, fmt.Errorf("interrupted while waiting for the node at %s", f.InternalURL)
		}
		if !again {
			return r, err
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
		}
		if waiting.Err() != nil {
			return r, err // nil for a node that responds and is not ready
		}
	}
}

// probe asks the node once whether it is ready. It reports whether another probe can have
// a better result, and what is wrong now. An error without another probe is final.
func (f *adminFlags) probe(ctx context.Context, r *internalRoute, changes bool) (again bool, err error) {
	if r.token, err = auth.ReadAdminToken(f.AdminTokenFile); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("--admin-token-file: %w; a node creates it on its first start: is gatecast serve running, with its data folder here?", err)
		}
		return false, fmt.Errorf("--admin-token-file: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/ready", nil)
	if err != nil {
		return false, &usageError{fmt.Errorf("--internal-url: %w", err)}
	}
	resp, err := r.http.Do(req)
	switch {
	case isRefused(err), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return true, f.unreached(err) // EOF and reset: a port forwarder whose node does not listen yet
	case errors.Is(err, context.DeadlineExceeded):
		return true, fmt.Errorf("the node at %s accepts connections and does not respond; it may still be opening its log", f.InternalURL)
	case err != nil:
		return false, f.unreached(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be reused
	_ = resp.Body.Close()
	switch resp.StatusCode {
	// 502 and 504 are a proxy's, in front of a node that is starting.
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return changes, nil
	}
	return false, nil // also for a 404 of a proxy that does not forward /ready
}

// unreached returns the error of a request without a response, with what to do.
func (f *adminFlags) unreached(err error) error {
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

// client returns the HTTP client for the internal route. It trusts the certificates of
// --internal-ca, or the system's.
func (f *adminFlags) client() (*http.Client, error) {
	trust, err := f.trust()
	if err != nil || trust == nil {
		return http.DefaultClient, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust
	return &http.Client{Transport: transport}, nil
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
