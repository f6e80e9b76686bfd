// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
)

// secretPrefix lets people and secret scanners recognize a token.
const secretPrefix = "gc_"

// Limits of a token's secret in characters. The registry's own secrets have 46; imported
// tokens were made by others.
const (
	MinTokenLen = 16
	MaxTokenLen = 4096
)

// ValidToken reports whether a text can be a token: 16 to 4,096 visible characters of
// ASCII.
func ValidToken(secret string) bool {
	if len(secret) < MinTokenLen || len(secret) > MaxTokenLen {
		return false
	}
	for i := range len(secret) {
		if secret[i] <= ' ' || secret[i] >= 0x7f {
			return false
		}
	}
	return true
}

// A digest is the SHA-256 of a secret.
type digest [sha256.Size]byte

// newSecret returns a new random secret and its digest.
func newSecret() (string, digest) {
	secret := secretPrefix + randomText()
	d, ok := digestOf(secret)
	if !ok {
		panic("BUG: a new secret is no valid token")
	}
	return secret, d
}

// randomText returns 32 random bytes as base64url.
func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// digestOf returns the digest of a secret. ok is false when it is no valid token. It does
// not allocate for tokens of usual length.
func digestOf(secret string) (d digest, ok bool) {
	if !ValidToken(secret) {
		return d, false
	}
	var b [128]byte
	if len(secret) > len(b) {
		return sha256.Sum256([]byte(secret)), true
	}
	return sha256.Sum256(b[:copy(b[:], secret)]), true
}

var errDigest = errors.New("a sha256 is not 64 hexadecimal digits")

// MarshalText implements [encoding.TextMarshaler].
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return errDigest
	}
	if _, err := hex.Decode(d[:], b); err != nil {
		return errDigest
	}
	return nil
}
