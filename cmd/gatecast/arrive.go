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

// startPatience is how long a client command waits for a node that is starting: for
// its admin token, for its listener, and to be ready. Tests shorten it.
var startPatience = 10 * time.Second

// startLook is the time between two looks at a node that is starting.
const startLook = 50 * time.Millisecond

// An internalRoute is how a client command reaches a node that has answered.
type internalRoute struct {
	url   string // without a slash at its end
	token string
	http  *http.Client
}

// arrive waits until the node answers, and until it is ready if the command is to
// change something: such a request is sent once, and must not be wasted on a node that
// cannot take it yet. A node that is not ready in time is asked all the same, and its
// answer says why.
func (f *adminFlags) arrive(ctx context.Context, client *http.Client, changes bool) (*internalRoute, error) {
	r := &internalRoute{url: strings.TrimSuffix(f.InternalURL, "/"), http: client}
	waiting, cancel := context.WithTimeout(ctx, startPatience+startLook/2) // not while it is being asked
	defer cancel()
	look := time.NewTicker(startLook)
	defer look.Stop()
	var before error // of the look before
	for {
		began := time.Now()
		again, err := f.look(waiting, r, changes)
		if waiting.Err() != nil && before != nil && time.Since(began) < time.Second {
			err = before // this look was cut off too soon to say anything
		}
		before = err
		if ctx.Err() != nil {
			return nil, fmt.Errorf("interrupted while waiting for the node at %s", f.InternalURL)
		}
		if !again {
			return r, err
		}
		select {
		case <-look.C:
		case <-waiting.Done():
		}
		if waiting.Err() != nil {
			return r, err // without an error it answers, though it is not ready
		}
	}
}

// look reports whether it is worth looking again, and what is wrong until then. An
// error without another look is final.
func (f *adminFlags) look(ctx context.Context, r *internalRoute, changes bool) (again bool, err error) {
	if r.token, err = auth.ReadAdminToken(f.AdminTokenFile); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("--admin-token-file: %w; the node makes it when it starts: is gatecast serve running, with the data folder here?", err)
		}
		return false, fmt.Errorf("--admin-token-file: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/ready", nil)
	if err != nil {
		return false, &usageError{fmt.Errorf("--internal-url: %w", err)}
	}
	resp, err := r.http.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return true, f.unreached(err)
	case errors.Is(err, context.DeadlineExceeded):
		return true, fmt.Errorf("the node at %s takes connections and does not answer; it may still be opening its log", f.InternalURL)
	case err != nil:
		return false, f.unreached(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return changes, nil
	}
	return false, nil // also if there is no such path, behind a proxy
}

// unreached says why a request got no answer, and what to do.
func (f *adminFlags) unreached(err error) error {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no node answers at %s; is gatecast serve running there?", f.InternalURL)
	case untrusted:
		return fmt.Errorf("%w; give the certificate of the internal route, or its authority's, with --internal-ca", err)
	}
	return err
}

// client returns an HTTP client that trusts what the flags say.
func (f *adminFlags) client() (*http.Client, error) {
	trust, err := f.trust()
	if err != nil || trust == nil {
		return http.DefaultClient, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust
	return &http.Client{Transport: transport}, nil
}

// trust returns what the internal route is trusted by, nil for the system's roots.
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
