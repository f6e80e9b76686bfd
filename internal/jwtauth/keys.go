// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxKeys limits the keys of a set. Issuers have two or three.
	maxKeys = 100
	// minRSABits is the smallest RSA key (RFC 7518 section 3.3).
	minRSABits = 2048
	// maxRSABits limits what one signature check costs.
	maxRSABits = 8192
)

// algorithms are the accepted values of a token's alg.
var algorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// A publicKey is a public key, for as long as it is in the issuer's set. A key that leaves
// the set and comes back is another publicKey.
type publicKey struct {
	key       any         // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	withdrawn atomic.Bool // it has left the set
}

// A member is a key of a set. The same key can be a member under several ids.
type member struct {
	*publicKey
	kid string // empty: none
	alg string // the only algorithm it is for; empty: any that fits
}

// A keySet is a set of keys. It is immutable.
type keySet struct {
	members []member
	keys    map[[sha256.Size]byte]*publicKey // by digest of the encoded key
	left    []string                         // ids of keys that have left it, at most maxKeys, the newest last
}

// parseKeySet parses a JSON Web Key Set. Keys that are also in old stay the same
// publicKeys; old can be nil. Keys that cannot be used are left out: an issuer can have
// keys for encryption, and of new kinds. skipped says why.
func parseKeySet(text []byte, old *keySet) (set *keySet, skipped []error, err error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	if len(document.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("has %d keys; want at most %d", len(document.Keys), maxKeys)
	}
	set = &keySet{keys: make(map[[sha256.Size]byte]*publicKey)}
	for i, raw := range document.Keys {
		if err := set.add(raw, old); err != nil {
			skipped = append(skipped, fmt.Errorf("keys[%d]: %w", i, err))
		}
	}
	set.inheritLeft(old)
	if len(set.members) == 0 {
		// An empty set would end every connection. No issuer means that.
		return nil, skipped, errors.New("has no key that can verify signatures")
	}
	return set, skipped, nil
}

// add adds a key in its JSON form.
func (s *keySet) add(raw []byte, old *keySet) error {
	// The zero options read public keys only, and fetch no certificates.
	jwk, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return err
	}
	m := jwk.Marshal()
	if m.USE != "" && m.USE != jwkset.UseSig {
		return fmt.Errorf("its use is %q; want sig", m.USE)
	}
	if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return errors.New("its key_ops do not include verify")
	}
	if err := checkKey(jwk.Key()); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(jwk.Key())
	if err != nil {
		return err
	}
	id := sha256.Sum256(der)
	if old != nil && s.keys[id] == nil && old.keys[id] != nil {
		s.keys[id] = old.keys[id]
	}
	if s.keys[id] == nil {
		s.keys[id] = &publicKey{key: jwk.Key()}
	}
	s.members = append(s.members, member{s.keys[id], m.KID, m.ALG.String()})
	return nil
}

// inheritLeft notes the key ids that have left the set. old can be nil.
func (s *keySet) inheritLeft(old *keySet) {
	if old == nil {
		return
	}
	ids := slices.Clone(old.left)
	for _, m := range old.members {
		ids = append(ids, m.kid)
	}
	s.left = slices.DeleteFunc(ids, s.has)
	s.left = s.left[max(0, len(s.left)-maxKeys):]
}

// checkKey reports why a key cannot verify signatures.
func checkKey(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("an RSA key of %d bits; want %d to %d", bits, minRSABits, maxRSABits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return fmt.Errorf("a key of type %T", key)
	}
	return nil
}

// withdraw marks the keys of old that are not in s, and returns their number. old can be
// nil.
func (s *keySet) withdraw(old *keySet) (n int) {
	if old == nil {
		return 0
	}
	for id, k := range old.keys {
		if s.keys[id] == nil {
			k.withdrawn.Store(true)
			n++
		}
	}
	return n
}

// candidates returns the keys that can have signed a token: those with its key id, or all
// if it has none, that fit its algorithm. There are at most maxCandidates.
func (s *keySet) candidates(kid string, method jwt.SigningMethod) (keys []*publicKey) {
	for _, m := range s.members {
		if (kid == "" || m.kid == kid) && m.fits(method) && len(keys) < maxCandidates && !slices.Contains(keys, m.publicKey) {
			keys = append(keys, m.publicKey)
		}
	}
	return keys
}

// maxCandidates limits the signature checks of one token.
const maxCandidates = 8

// has reports whether the set has a key id. It has every key for an empty one.
func (s *keySet) has(kid string) bool {
	return kid == "" || slices.ContainsFunc(s.members, func(m member) bool { return m.kid == kid })
}

// fits reports whether the key can verify signatures of an algorithm.
func (m member) fits(method jwt.SigningMethod) bool {
	if m.alg != "" && m.alg != method.Alg() && (m.alg != "Ed25519" || method.Alg() != "EdDSA") { // RFC 9864
		return false
	}
	switch k := m.key.(type) {
	case *rsa.PublicKey:
		switch method.(type) {
		case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
			return true
		}
	case *ecdsa.PublicKey:
		es, ok := method.(*jwt.SigningMethodECDSA)
		return ok && es.CurveBits == k.Curve.Params().BitSize
	case ed25519.PublicKey:
		_, ok := method.(*jwt.SigningMethodEd25519)
		return ok
	}
	return false
}
