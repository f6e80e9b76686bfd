// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/strict"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

const (
	// grantTTL and refusalTTL are how long an answer of the platform is used without
	// asking again.
	grantTTL   = time.Minute
	refusalTTL = 5 * time.Second
	// maxVerdicts limits the cached answers of each kind, of some 200 bytes each. The
	// least recently used is dropped, which costs another request.
	maxVerdicts = 100_000
	// askTimeout limits a request to the platform.
	askTimeout = 3 * time.Second
	// pauseAfterFailure is how long no request is made after one without an answer, so
	// that connecting gateways do not all wait for askTimeout.
	pauseAfterFailure = time.Second
	// maxAnswer limits the platform's answer, in bytes.
	maxAnswer = 64 << 10
	// maxStaleAnswers limits the requests about one token while tokens are revoked.
	maxStaleAnswers = 3
)

// Errors of [Verifier.Verify].
var (
	// ErrRefused says that a token is not valid.
	ErrRefused = errors.New("the token is not known")
	// ErrUnreachable says that the platform gave no usable answer.
	ErrUnreachable = errors.New("cannot ask the platform")
)

// A Verifier asks the platform about tokens, in place of the registry's own tokens. Any
// goroutine can call its methods.
//
// It caches answers: a granted token for grantTTL, a refused one for refusalTTL. A granted
// token that is asked about again keeps its grant, so its connections stay. When the
// platform refuses it, the grant ends, and its connections are closed. When the platform
// does not answer, connections stay and new ones get 503.
type Verifier struct {
	// Constant after NewVerifier.
	registry *Registry
	url      string
	client   *http.Client
	observe  func(result string, took time.Duration)

	// Used by any goroutine.
	granted     *lru.Cache[digest, verdict]
	refused     *lru.Cache[digest, verdict]
	flights     singleflight.Group // by digest
	pausedUntil atomic.Int64       // no request until then, in Unix nanoseconds
	failing     atomic.Bool        // the last request got no usable answer
}

// A verdict is a cached answer of the platform about a token.
type verdict struct {
	grant     *Grant    // nil: refused
	expiresAt time.Time // of the verdict
}

// NewVerifier returns a verifier that posts {"token":…} to url. observe is called for
// every Verify with a result: "granted", "refused", "failed", or "remembered" for a cached
// answer. took is the time of the request.
func NewVerifier(r *Registry, url string, transport http.RoundTripper, observe func(result string, took time.Duration)) *Verifier {
	v := &Verifier{registry: r, url: url, observe: observe}
	v.granted, _ = lru.New[digest, verdict](maxVerdicts) // fails only for a size below 1
	v.refused, _ = lru.New[digest, verdict](maxVerdicts)
	v.client = &http.Client{
		Transport: transport,
		Timeout:   askTimeout,
		// A redirect would send the token to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return v
}

// Verify returns the grant of a token. Its errors match [ErrRefused] and
// [ErrUnreachable].
func (v *Verifier) Verify(token string) (*Grant, error) {
	if token == "" {
		return nil, ErrRefused
	}
	d := digest(sha256.Sum256([]byte(token)))
	now := v.registry.now()
	if g := v.cachedGrant(d, now); g != nil {
		v.observe("remembered", 0)
		return g, nil
	}
	if cached, ok := v.refused.Get(d); ok && now.Before(cached.expiresAt) {
		v.observe("remembered", 0)
		return nil, ErrRefused
	}
	// Concurrent calls with one token share one request.
	g, err, _ := v.flights.Do(string(d[:]), func() (any, error) { return v.ask(d, token) })
	if err != nil {
		return nil, err
	}
	return g.(*Grant), nil
}

// Known reports, without I/O, whether the platform has granted a token within the last day,
// to any node. Such a token is no guess. It can have been revoked since.
func (v *Verifier) Known(token string) bool {
	return v.registry.wasGranted(sha256.Sum256([]byte(token)))
}

// Cached returns the grant of a token that the platform has accepted before, if it is
// still valid, without asking the platform; else nil.
func (v *Verifier) Cached(token string) *Grant {
	cached, ok := v.granted.Peek(digest(sha256.Sum256([]byte(token))))
	if !ok {
		return nil
	}
	if _, ended := cached.grant.Revoked(); ended {
		return nil
	}
	return cached.grant
}

// cachedGrant returns the grant of a token whose verdict has not expired, or nil.
func (v *Verifier) cachedGrant(d digest, now time.Time) *Grant {
	cached, ok := v.granted.Get(d)
	if !ok || !now.Before(cached.expiresAt) {
		return nil
	}
	if _, ended := cached.grant.Revoked(); ended {
		return nil
	}
	return cached.grant
}

// ask asks the platform, and caches the answer. singleflight runs it once per token at a
// time. Failures are not cached: pausedUntil limits them.
func (v *Verifier) ask(d digest, token string) (*Grant, error) {
	began := time.Now()
	g, err := v.askUntilCurrent(d, token)
	now := v.registry.now()
	switch {
	case err == nil:
		v.observe("granted", time.Since(began))
		v.registry.rememberGranted(d, g.Gateway.ID)
		if _, ended := g.Revoked(); ended { // possibly before it was remembered
			v.registry.forgetGranted(d)
		}
		v.granted.Add(d, verdict{g, now.Add(grantTTL)})
	case errors.Is(err, ErrRefused):
		v.observe("refused", time.Since(began))
		v.registry.forgetGranted(d)
		v.granted.Remove(d)
		v.refused.Add(d, verdict{expiresAt: now.Add(refusalTTL)})
	default:
		v.observe("failed", time.Since(began))
	}
	v.logTransition(err)
	return g, err
}

// askUntilCurrent asks again while an answer is older than a revocation. Without that, an
// answer on its way during RevokeVerified would bring a revoked token back.
func (v *Verifier) askUntilCurrent(d digest, token string) (g *Grant, err error) {
	var before *Grant
	if cached, ok := v.granted.Peek(d); ok {
		before = cached.grant
	}
	for range maxStaleAnswers {
		revocations, err := v.registry.verifiedRevocations()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		verified, err := v.post(token)
		if err != nil {
			return nil, err
		}
		if verified == nil {
			return nil, v.refuse(before)
		}
		g, err = v.registry.admitVerified(d, *verified, before, revocations)
		switch {
		case errors.Is(err, errStaleAnswer):
			continue
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		case g == nil:
			return nil, ErrRefused
		}
		return g, nil
	}
	return nil, fmt.Errorf("%w: verified tokens were revoked during the request", ErrUnreachable)
}

// refuse ends the previous grant of a token.
func (v *Verifier) refuse(before *Grant) error {
	if before != nil {
		if err := v.registry.refuseVerified(before); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
	return ErrRefused
}

// post asks the platform once. It returns nil for a token that the platform refuses. No
// error contains the token.
func (v *Verifier) post(token string) (*Verified, error) {
	if time.Now().UnixNano() < v.pausedUntil.Load() {
		return nil, fmt.Errorf("%w: the previous request failed less than a second ago", ErrUnreachable)
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		panic("BUG: cannot marshal a string: " + err.Error())
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, v.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := v.client.Do(req)
	if err != nil {
		v.pausedUntil.Store(time.Now().Add(pauseAfterFailure).UnixNano())
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: its answer: %w", ErrUnreachable, err)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: it answered with status %d; want 200 or 401", ErrUnreachable, resp.StatusCode)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("%w: its answer is longer than %d bytes", ErrUnreachable, maxAnswer)
	}
	return parseVerified(text)
}

// verifiedNames are the members of the platform's answer that are used.
var verifiedNames = []string{"gatewayId", "organizationId", "groups", "expiresAt"}

// parseVerified parses the platform's answer. Unknown members are ignored, unless they
// are a known name in another case: a token with "expiresat" would never expire. Null is
// the same as a missing member.
func parseVerified(text []byte) (*Verified, error) {
	v := new(Verified)
	o := strict.Read(text)
	for o.Next() {
		switch name := string(o.Name()); {
		case o.WrongCase(verifiedNames...):
			o.Fail("has the wrong case")
		case o.Null():
		case name == "gatewayId":
			v.GatewayID = o.String()
		case name == "organizationId":
			v.OrganizationID = o.String()
		case name == "groups":
			v.Groups = o.Strings()
		case name == "expiresAt":
			at, err := strict.Time(o.String())
			if err != nil {
				o.Fail(err.Error())
			}
			if at.IsZero() { // which means never
				at = at.Add(1)
			}
			v.ExpiresAt = at
		}
	}
	switch err := o.Err(); {
	case errors.Is(err, strict.ErrSyntax): // its text can contain the token
		return nil, fmt.Errorf("%w: its answer is not a valid JSON object", ErrUnreachable)
	case err != nil:
		return nil, fmt.Errorf("%w: its answer: %w", ErrUnreachable, err)
	}
	return v, nil
}

// logTransition logs when requests start to fail, and when they succeed again.
func (v *Verifier) logTransition(err error) {
	failed := err != nil && !errors.Is(err, ErrRefused)
	if v.failing.Swap(failed) == failed {
		return
	}
	if failed {
		v.registry.log.Error("cannot verify tokens; gateways get 503 until it works", "error", err)
	} else {
		v.registry.log.Info("tokens can be verified again")
	}
}
