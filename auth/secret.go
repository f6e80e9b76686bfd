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

// secretLen is the length of every secret in characters: the prefix, and 32 bytes as
// base64url.
const secretLen = len(secretPrefix) + 43

// A digest is the SHA-256 of a secret.
type digest [sha256.Size]byte

// newSecret returns a new random secret and its digest.
func newSecret() (string, digest) {
	secret := secretPrefix + randomText()
	d, ok := digestOf(secret)
	if !ok {
		panic("BUG: a new secret has the wrong length")
	}
	return secret, d
}

// randomText returns 32 random bytes as base64url.
func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// digestOf returns the digest of a secret. ok is false when the length is wrong. It does
// not allocate.
func digestOf(secret string) (d digest, ok bool) {
	var b [secretLen]byte
	if len(secret) != secretLen {
		return d, false
	}
	copy(b[:], secret)
	return sha256.Sum256(b[:]), true
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
