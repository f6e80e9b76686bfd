// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package jwtauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gatecast/gatecast/auth"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// MaxToken is the length of the longest token, in bytes.
	MaxToken = 4096
	// maxGrants limits the cached grants, of some 200 bytes each. The least recently used
	// is dropped, which costs another signature check.
	maxGrants = 100_000
	// grantTTL is how long a grant is used without another check.
	grantTTL = time.Minute
)

// Config configures a [Verifier].
type Config struct {
	Keys      string            // URL or file of the JSON Web Key Set
	Transport http.RoundTripper // for a URL
	Issuer    string            // the iss of every token
	Audience  string            // in the aud of every token
	// Names of the claims that say which gateway it is, of which organization, and in
	// which groups.
	GatewayClaim, OrgClaim, GroupsClaim string

	Registry *auth.Registry
	// Observe is called for every Verify with a result: "granted", "refused", "failed", or
	// "remembered" for a cached grant.
	Observe func(result string)
	// Loaded is called after each load of the keys with their number.
	Loaded func(keys int, err error)
	Logger *slog.Logger
}

// A Verifier verifies signed tokens. Any goroutine can call its methods.
type Verifier struct {
	// Constant.
	cfg    Config
	keys   *keyring
	parser *jwt.Parser
	grants *lru.Cache[[sha256.Size]byte, cachedGrant]
	checks chan struct{} // limits concurrent signature checks

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// A cachedGrant is the grant of a token.
type cachedGrant struct {
	grant     *auth.Grant
	until     time.Time // when the token is checked again
	expiresAt time.Time // of the token
}

// Start returns a Verifier that loads its keys until Stop. It fails if the keys are in a
// file that cannot be loaded. A URL that does not answer is logged and tried again.
func Start(ctx context.Context, cfg Config) (*Verifier, error) {
	v := &Verifier{
		cfg: cfg, parser: newParser(cfg),
		checks: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
	}
	v.grants, _ = lru.New[[sha256.Size]byte, cachedGrant](maxGrants) // fails only for a size below 1
	v.keys = &keyring{
		read: readFile(cfg.Keys), interval: fileInterval, loaded: cfg.Loaded, log: cfg.Logger,
		withdrawn: func() { _ = cfg.Registry.EndWithdrawn() }, // fails only after the registry's Close
		requests:  make(chan struct{}, 1),
	}
	if isURL(cfg.Keys) {
		v.keys.read, v.keys.interval = readURL(cfg.Keys, cfg.Transport), urlInterval
	}
	err := v.keys.load(ctx)
	if err != nil && !isURL(cfg.Keys) {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	v.stop = stop
	v.wg.Go(func() { v.keys.run(run, err) })
	return v, nil
}

// Stop ends the loading of keys.
func (v *Verifier) Stop() {
	v.stop()
	v.wg.Wait()
}

// Reload loads the keys soon.
func (v *Verifier) Reload() { v.keys.request() }

// Ready returns nil once keys have been loaded.
func (v *Verifier) Ready() error {
	if v.keys.set.Load() == nil {
		return errors.New("the keys for signed tokens have not been loaded yet")
	}
	return nil
}

// Verify returns the grant of a token. Its errors match [auth.ErrRefused] and
// [auth.ErrUnverifiable].
func (v *Verifier) Verify(token string) (*auth.Grant, error) {
	now := time.Now()
	digest := sha256.Sum256([]byte(token))
	if cached, ok := v.grants.Get(digest); ok && now.Before(cached.until) && cached.valid(now) {
		v.cfg.Observe("remembered")
		return cached.grant, nil
	}
	g, err := v.verify(token, digest, now)
	switch {
	case err == nil:
		v.cfg.Observe("granted")
	case errors.Is(err, auth.ErrRefused):
		v.cfg.Observe("refused")
		v.cfg.Logger.Info("signed token refused", "reason", err)
	default:
		v.cfg.Observe("failed")
		v.cfg.Logger.Warn("cannot verify a signed token; the gateway gets 503", "error", err)
	}
	return g, err
}

func (v *Verifier) verify(token string, digest [sha256.Size]byte, now time.Time) (*auth.Grant, error) {
	c, key, err := v.check(token, now)
	if err != nil {
		return nil, err
	}
	g, err := v.cfg.Registry.AdmitSigned(token, c.verified, auth.Signature{IssuedAt: c.issuedAt, Withdrawn: &key.withdrawn})
	if err != nil {
		return nil, err
	}
	v.grants.Add(digest, cachedGrant{g, now.Add(grantTTL), c.verified.ExpiresAt})
	return g, nil
}

// Cached returns the grant of a token that was accepted before, if it is still valid; else
// nil.
func (v *Verifier) Cached(token string) *auth.Grant {
	cached, ok := v.grants.Peek(sha256.Sum256([]byte(token)))
	if !ok || !cached.valid(time.Now()) {
		return nil
	}
	return cached.grant
}

// valid reports whether the grant has not ended.
func (c cachedGrant) valid(now time.Time) bool {
	_, ended := c.grant.Revoked()
	return !ended && now.Before(c.expiresAt)
}

// check checks a token, and returns what it says and the key that signed it.
func (v *Verifier) check(token string, now time.Time) (c claims, key *publicKey, err error) {
	if len(token) > MaxToken {
		return c, nil, refused("it is longer than %d bytes", MaxToken)
	}
	unverified, _, err := v.parser.ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return c, nil, refusedBy(err)
	}
	keys, err := v.candidates(unverified, now)
	if err != nil {
		return c, nil, err
	}
	key, verified, err := v.checkSignature(token, keys)
	if err != nil {
		return c, nil, err
	}
	c, err = v.cfg.readClaims(verified.Claims.(jwt.MapClaims))
	return c, key, err
}

// checkSignature returns the key that signed a token, and the verified token.
func (v *Verifier) checkSignature(token string, keys []*publicKey) (*publicKey, *jwt.Token, error) {
	v.checks <- struct{}{}
	defer func() { <-v.checks }()
	for _, key := range keys {
		verified, err := v.parser.Parse(token, func(*jwt.Token) (any, error) { return key.key, nil })
		if errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			continue
		}
		if err != nil {
			return nil, nil, refusedBy(err)
		}
		return key, verified, nil
	}
	return nil, nil, refused("its signature is wrong")
}

// candidates returns the keys that can have signed a token. For an unknown key id it loads
// the keys, at most once per retryInterval. Only a set that is newer than the token proves
// that its key does not exist: a gateway that is refused exits for good. A key that has left
// the set is not new.
func (v *Verifier) candidates(token *jwt.Token, now time.Time) ([]*publicKey, error) {
	if !acceptedAlgorithm(token.Method) {
		return nil, refused("its algorithm is not one of %v", algorithms)
	}
	if _, ok := token.Header["crit"]; ok { // RFC 7515 section 4.1.11: it has extensions that must be understood
		return nil, refused("it has critical header extensions")
	}
	kid, ok := token.Header["kid"].(string)
	if !ok && token.Header["kid"] != nil {
		return nil, refused("its key id is not a string")
	}
	set := v.keys.set.Load()
	if set == nil {
		return nil, fmt.Errorf("%w: no keys have been loaded", auth.ErrUnverifiable)
	}
	if !set.has(kid) {
		succeeded, ok := v.keys.await(now)
		set = v.keys.set.Load()
		known := set.has(kid) || slices.Contains(set.left, kid)
		if !known && (!ok || succeeded.Before(now) && !issuedBefore(token, succeeded)) {
			return nil, fmt.Errorf("%w: its key id is unknown, and newer keys cannot be loaded right now", auth.ErrUnverifiable)
		}
	}
	keys := set.candidates(kid, token.Method)
	if len(keys) == 0 {
		return nil, refused("the issuer has no such key")
	}
	return keys, nil
}
