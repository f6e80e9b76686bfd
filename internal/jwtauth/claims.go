// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package jwtauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gatecast/gatecast/auth"

	"github.com/golang-jwt/jwt/v5"
)

// leeway is how far the issuer's clock can be ahead of this node's. It does not apply to
// the expiry: a token is not accepted for longer than its issuer says.
const leeway = 30 * time.Second

// maxSeconds is the last second of the year 9999, since 1970.
const maxSeconds = 253402300799

// claims are what a verified token says.
type claims struct {
	verified auth.Verified
	issuedAt time.Time // zero: not stated
}

// IsJWT reports whether a token has the form of a JSON Web Token: three parts, of which
// the first is a JSON object with a member alg. Whether it is valid is another question.
func IsJWT(token string) bool {
	head, rest, ok := strings.Cut(token, ".")
	if !ok || strings.Count(rest, ".") != 1 || len(head) > MaxToken {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return false
	}
	var header map[string]json.RawMessage
	return json.Unmarshal(text, &header) == nil && header["alg"] != nil
}

// newParser returns the parser of tokens, which checks signature, issuer, audience and
// times.
func newParser(cfg Config) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(),
	)
}

// acceptedAlgorithm reports whether tokens can be signed by an algorithm.
func acceptedAlgorithm(m jwt.SigningMethod) bool { return slices.Contains(algorithms, m.Alg()) }

// readClaims reads the claims of a verified token. The registry checks names and groups.
func (cfg *Config) readClaims(m jwt.MapClaims) (c claims, err error) {
	expires, err := instant(m, "exp")
	if err != nil {
		return c, err
	}
	if c.issuedAt, err = instant(m, "iat"); err != nil {
		return c, err
	}
	// The parser has allowed leeway.
	if !time.Now().Before(expires) {
		return c, refused("it has expired")
	}
	c.verified.ExpiresAt = expires
	if c.verified.GatewayID, err = text(m, cfg.GatewayClaim); err != nil {
		return c, err
	}
	if c.verified.OrganizationID, err = text(m, cfg.OrgClaim); err != nil {
		return c, err
	}
	c.verified.Groups, err = texts(m, cfg.GroupsClaim)
	return c, err
}

// instant returns the time of a claim in seconds since 1970; zero: there is none.
func instant(m jwt.MapClaims, name string) (time.Time, error) {
	value := m[name]
	if value == nil {
		return time.Time{}, nil
	}
	seconds, ok := value.(float64)
	if !ok || !(seconds > 0 && seconds <= maxSeconds) {
		return time.Time{}, refused("claim %s: want seconds since 1970", name)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
}

// text returns the text of a claim; empty: there is none.
func text(m jwt.MapClaims, name string) (string, error) {
	value := m[name]
	if value == nil {
		return "", nil
	}
	s, ok := value.(string)
	if !ok {
		return "", refused("claim %s: want a string", name)
	}
	return s, nil
}

// texts returns the texts of a claim; nil: there is none.
func texts(m jwt.MapClaims, name string) (list []string, err error) {
	value := m[name]
	if value == nil {
		return nil, nil
	}
	items, ok := value.([]any)
	if !ok {
		return nil, refused("claim %s: want a list of strings", name)
	}
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, refused("claim %s: want a list of strings", name)
		}
		list = append(list, s)
	}
	return list, nil
}

// issuedBefore reports whether a token says that it was issued well before a time. Its
// signature has not been checked: who lies about it gets only another refusal.
func issuedBefore(token *jwt.Token, at time.Time) bool {
	issued, err := instant(token.Claims.(jwt.MapClaims), "iat")
	return err == nil && !issued.IsZero() && issued.Add(leeway).Before(at)
}

// refused returns the error of a token that is not valid.
func refused(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{auth.ErrRefused}, args...)...)
}

// refusalReasons are the parser's errors, the most telling first.
var refusalReasons = []struct {
	cause error
	text  string
}{
	{jwt.ErrTokenRequiredClaimMissing, "it has no exp, iss or aud"},
	{jwt.ErrTokenInvalidIssuer, "its issuer is another"},
	{jwt.ErrTokenInvalidAudience, "its audience is another"},
	{jwt.ErrTokenExpired, "it has expired"},
	{jwt.ErrTokenNotValidYet, "it is not valid yet"},
	{jwt.ErrTokenUsedBeforeIssued, "it was issued in the future"},
	{jwt.ErrTokenUnverifiable, "its algorithm is unknown"},
}

// refusedBy returns the error of a token that the parser refuses. The parser's own text
// can contain parts of the token.
func refusedBy(err error) error {
	for _, r := range refusalReasons {
		if errors.Is(err, r.cause) {
			return refused("%s", r.text)
		}
	}
	return refused("it is malformed")
}
