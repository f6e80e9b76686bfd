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
	// grantedFor and refusedFor are how long the platform's word on a token is
	// taken without asking again.
	grantedFor = time.Minute
	refusedFor = 5 * time.Second
	// maxVerdicts bounds the tokens of each kind that are remembered, some 200 bytes
	// each. One that does not fit costs another question.
	maxVerdicts = 100_000
	// askTimeout is how long the platform has to answer.
	askTimeout = 3 * time.Second
	// downFor is how long nobody is asked after no answer came, so that those who
	// want to connect do not wait in vain one after the other.
	downFor = time.Second
	// maxAnswer bounds the platform's answer, in bytes.
	maxAnswer = 64 << 10
	// maxOvertaken is how often a question is asked again because tokens were taken
	// back meanwhile.
	maxOvertaken = 3
)

// Errors of [Verifier.Verify].
var (
	// ErrRefused says that a token is not one to connect with.
	ErrRefused = errors.New("the token is not known")
	// ErrUnreachable says that the platform gave no answer that can be used.
	ErrUnreachable = errors.New("the platform cannot be asked")
)

// A Verifier has the platform verify tokens, in place of the registry's own. Its
// methods may be called by any goroutine.
type Verifier struct {
	// Constant after NewVerifier.
	registry *Registry
	url      string
	client   *http.Client
	observe  func(result string, took time.Duration)

	granted *lru.Cache[digest, verdict]
	refused *lru.Cache[digest, verdict]
	flights singleflight.Group // by digest
	down    atomic.Int64       // nobody is asked until then, in Unix nanoseconds
	failing atomic.Bool        // the last question was not answered
}

// A verdict is what the platform said of a token.
type verdict struct {
	grant *Grant // nil: it does not know it
	until time.Time
}

// NewVerifier returns a verifier that posts {"token":…} to url. Observe is told of
// every question: "granted", "refused", "failed", or "remembered" where there was no
// need to ask.
func NewVerifier(r *Registry, url string, transport http.RoundTripper, observe func(result string, took time.Duration)) *Verifier {
	v := &Verifier{registry: r, url: url, observe: observe}
	v.granted, _ = lru.New[digest, verdict](maxVerdicts) // fails only for a size below 1
	v.refused, _ = lru.New[digest, verdict](maxVerdicts)
	v.client = &http.Client{
		Transport: transport,
		Timeout:   askTimeout,
		// A redirect would hand the token to somebody else.
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
	if g := v.remembered(d, now); g != nil {
		v.observe("remembered", 0)
		return g, nil
	}
	if said, ok := v.refused.Get(d); ok && now.Before(said.until) {
		v.observe("remembered", 0)
		return nil, ErrRefused
	}
	// All who present the token meanwhile share the answer.
	g, err, _ := v.flights.Do(string(d[:]), func() (any, error) { return v.ask(d, token) })
	if err != nil {
		return nil, err
	}
	return g.(*Grant), nil
}

// Cached returns the grant of a token that the platform has granted before, if it
// stands, without asking the platform; else nil.
func (v *Verifier) Cached(token string) *Grant {
	said, ok := v.granted.Peek(digest(sha256.Sum256([]byte(token))))
	if !ok {
		return nil
	}
	if _, ended := said.grant.Revoked(); ended {
		return nil
	}
	return said.grant
}

// remembered returns the grant of a token that need not be asked for, or nil.
func (v *Verifier) remembered(d digest, now time.Time) *Grant {
	said, ok := v.granted.Get(d)
	if !ok || !now.Before(said.until) {
		return nil
	}
	if _, ended := said.grant.Revoked(); ended {
		return nil
	}
	return said.grant
}

// ask asks the platform, and remembers what it says.
func (v *Verifier) ask(d digest, token string) (*Grant, error) {
	began := time.Now()
	g, err := v.answer(d, token)
	now := v.registry.now()
	switch {
	case err == nil:
		v.observe("granted", time.Since(began))
		v.granted.Add(d, verdict{g, now.Add(grantedFor)})
	case errors.Is(err, ErrRefused):
		v.observe("refused", time.Since(began))
		v.granted.Remove(d)
		v.refused.Add(d, verdict{until: now.Add(refusedFor)})
	default:
		v.observe("failed", time.Since(began))
	}
	v.tell(err)
	return g, err
}

// answer asks until the answer is not of before tokens were taken back.
func (v *Verifier) answer(d digest, token string) (g *Grant, err error) {
	var before *Grant
	if said, ok := v.granted.Peek(d); ok {
		before = said.grant
	}
	for range maxOvertaken {
		round, err := v.registry.verifiedRound()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		said, err := v.post(token)
		if err != nil {
			return nil, err
		}
		if said == nil {
			return nil, v.refuse(before)
		}
		g, err = v.registry.admit(d, *said, before, round)
		switch {
		case errors.Is(err, errOvertaken):
			continue
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		case g == nil:
			return nil, ErrRefused
		}
		return g, nil
	}
	return nil, fmt.Errorf("%w: tokens were taken back meanwhile", ErrUnreachable)
}

// refuse ends what the token gave until now.
func (v *Verifier) refuse(before *Grant) error {
	if before != nil {
		if err := v.registry.refuse(before); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
	return ErrRefused
}

// post asks the platform once. It returns nil for a token that it does not know.
// No error holds the token.
func (v *Verifier) post(token string) (*Verified, error) {
	if time.Now().UnixNano() < v.down.Load() {
		return nil, fmt.Errorf("%w: it did not answer a moment ago", ErrUnreachable)
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		panic("BUG: a string does not marshal: " + err.Error())
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, v.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := v.client.Do(req)
	if err != nil {
		v.down.Store(time.Now().Add(downFor).UnixNano())
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
		return nil, fmt.Errorf("%w: it answers with status %d; want 200 or 401", ErrUnreachable, resp.StatusCode)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("%w: its answer is longer than %d bytes", ErrUnreachable, maxAnswer)
	}
	return parseVerified(text)
}

// verifiedNames are the names in the platform's answer that count here.
var verifiedNames = []string{"gatewayId", "organizationId", "groups", "expiresAt"}

// parseVerified reads the platform's answer. Fields it does not know are the
// platform's own, unless they are known ones in other letters: who writes expiresat
// would have a token that never expires. One that is null is as good as none.
func parseVerified(text []byte) (*Verified, error) {
	v := new(Verified)
	o := strict.Read(text)
	for o.Next() {
		switch name := string(o.Name()); {
		case o.Misspelt(verifiedNames...):
			o.Fail("is not spelt so")
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
			if at.IsZero() { // which would stand for never
				at = at.Add(1)
			}
			v.ExpiresAt = at
		}
	}
	switch err := o.Err(); {
	case errors.Is(err, strict.ErrSyntax): // whose text may have the token
		return nil, fmt.Errorf("%w: its answer is not the JSON object that it should be", ErrUnreachable)
	case err != nil:
		return nil, fmt.Errorf("%w: its answer: %w", ErrUnreachable, err)
	}
	return v, nil
}

// tell logs when the platform stops giving answers, and when it does again.
func (v *Verifier) tell(err error) {
	failed := err != nil && !errors.Is(err, ErrRefused)
	if v.failing.Swap(failed) == failed {
		return
	}
	if failed {
		v.registry.log.Error("tokens cannot be verified; gateways are answered with 503 until they can", "error", err)
	} else {
		v.registry.log.Info("tokens can be verified again")
	}
}
