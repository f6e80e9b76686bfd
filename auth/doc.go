// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package auth says who may connect. A [Registry] holds the gateways and their
// tokens; an [IPLimiter] bounds how often an address may try; [AdminTokens]
// guards the internal listener.
//
// The registry's truth is a [Store] that all nodes share: a key for each
// gateway, changed by its revision only. Every node watches the store and keeps
// all of it in memory, where [Registry.Verify] and the other reads find it
// without I/O; so a node whose store is out of reach still knows its gateways,
// but cannot change them.
//
// A token's secret is told once, to whoever asked for the token. Store and
// memory know its SHA-256 only. That needs neither salt nor stretching: a secret
// is 32 random bytes, which nobody finds by guessing.
package auth
