// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package jwtauth verifies gateways' tokens that are JSON Web Tokens (RFC 7519), signed by
// an issuer that the operator trusts.
//
// A keyring has the issuer's public keys, a JSON Web Key Set (RFC 7517) that it loads from
// a URL or a file again and again. A load that fails leaves the last good keys in use. A
// [Verifier] checks a token with them and asks the registry for a grant. When a key leaves
// the set, the grants of the tokens it signed end.
//
// Only asymmetric algorithms are accepted: a key set is public, so a token that is "signed"
// by HMAC with a public key, or not at all, proves nothing.
//
// Tokens come from anyone on the network. Each costs at most one parse of 4 KiB and some
// signature checks, of which no more run at once than the loops leave processors for. An
// unknown key id loads the keys once in some seconds at most, and few connections wait for
// that.
package jwtauth
