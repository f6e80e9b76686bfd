// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package client connects a gateway to gatecast and receives its events.
//
// [Run] keeps a gateway connected. It calls a handler with each event, reports the handler's
// result to the server, and stores the position in a [CursorStore]. When a connection ends, Run
// waits as long as the reason requires, reconnects, and resumes after the last event that was
// handled. [Dial] opens a single connection, for a program that does this itself.
//
// Events arrive one at a time, in the order of the log. A connection without a position receives
// what is published from then on. A connection with a position first receives every event that
// the gateway has missed since, or a [Resync] if the server no longer has them.
//
// The package imports no other package of this module, and of other modules only gobwas/ws.
// docs/reference/protocol.md describes the protocol.
package client
