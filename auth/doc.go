// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package auth decides who can connect. A [Registry] holds the gateways and their
// tokens. A [Verifier] asks the platform about tokens instead. An [AttemptLimiter] limits
// attempts to connect. [AdminTokens] guard the internal listener.
//
// The registry's data is in a [Store] that all nodes share: one key per gateway, changed
// by compare-and-set on its revision. Every node watches the store and keeps all of it in
// memory. [Registry.Verify] and the other reads need no I/O, so a node that cannot reach
// its store still knows its gateways, but cannot change them.
//
// Two kinds of gateways exist. A registered gateway has a record in the store. An
// external gateway is verified by the platform and has no registration; see
// [Options.External].
//
// A Registry has three goroutines. The watch's goroutine parses what the store reports and
// posts it. The registry's goroutine owns the [registryState], applies changes to the
// [directory] and ends grants that expire. The third stores the last uses of tokens once a
// minute. Callers of Add, Remove, AddToken and RevokeToken write to the store on their own
// goroutine, and then wait until the registry's goroutine has applied their write. So a
// node sees its own changes at once, and the changes of other nodes when the watch reports
// them.
//
// A [Grant] connects the registry with the shards. A shard keeps the grant of each
// connection, and asks [Grant.Revoked] after it has added the connection. The registry
// first marks a grant as ended and then calls [Options.OnRevoke]. So no connection survives
// its token, in whichever order the two happen.
//
// A token's secret is returned once, by the call that makes the token. Store and memory
// have only its SHA-256. That needs neither salt nor stretching: a secret is 32 random
// bytes, which cannot be guessed. An [Import] sets tokens that a platform has made, by
// their SHA-256. A key of the store for each such digest, its [claim], decides which
// gateway it belongs to, and remembers that it was revoked.
package auth
