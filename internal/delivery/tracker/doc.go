// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package tracker computes the delivery status of events: which gateways received
// an event, and how they acknowledged it. It does no I/O.
//
// Events of a gateway are written to a connection in log order, without gaps. So
// the package stores nothing per event and gateway. It stores a few ranges of
// the log per gateway: an event of the gateway was delivered if its sequence is in
// one of them. Only acknowledgements are stored per event.
//
// Changes arrive as [Updates]. Applying updates is idempotent and commutative: they
// can arrive late, twice and in any order. So all nodes that read the updates of a
// shared journal compute the same [Tracker].
package tracker
