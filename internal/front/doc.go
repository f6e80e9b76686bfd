// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package front is the listener for gateways. Each accepted connection has a short-lived
// goroutine with a deadline, which does the TLS handshake and reads one request. Then it
// hands the connection over: an upgrade to its gateway's shard, anything else to a
// net/http server. The number of these goroutines is limited, and at the limit accepting
// waits.
//
// Everything that can refuse an upgrade is decided before it. A gateway that is upgraded
// and then closed would reconnect at once, and a gateway that gets an unknown 4xx can exit
// for good.
//
// Bounds: 512 pending connections, each for at most 10 s. While all slots are in use, the
// oldest pending connection whose peer is slow is closed after one second, so slow peers
// cannot keep others out. The head of a request has at most [http1.MaxHead] bytes.
//
// A drain has two steps. [Front.StopUpgrades] refuses upgrades, and serves other requests.
// [Front.Drain] closes the listeners.
//
// Nouns: a pending connection is accepted and not handed over yet; a refusal is the
// response to a request that is not served; the connection quota is the number of
// connections that a node, a gateway and an organization can have.
package front
