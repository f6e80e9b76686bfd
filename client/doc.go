// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package client connects a gateway to gatecast and receives its events.
//
// [Run] keeps a connection: it reconnects when one ends, waits as long as the
// reason for the end asks for, and goes on where the last connection ended. It
// tells the server what became of each event, and keeps its position in a
// [CursorStore]. [Dial] makes one connection, for a program that wants to do that
// itself.
//
// Events reach the handler one at a time, in the order of the log. Without a
// position a connection begins with what is published from then on; with one it
// begins with everything the gateway has missed since, or, when the server cannot
// send that any more, with a [Resync].
//
// The package brings no part of the server into a program.
package client
