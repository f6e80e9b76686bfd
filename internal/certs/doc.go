// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package certs loads certificates, private keys and bundles of certificate authorities
// from PEM files, and reloads them while a server uses them.
//
// Parsing is stricter than in crypto/tls and crypto/x509, which silently skip what they
// cannot parse. Here a malformed block is an error that names the file and the line.
//
// The package also makes the self-signed pair that a node uses when it has no other.
package certs
