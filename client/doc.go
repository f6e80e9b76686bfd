// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package client connects a gateway to gatecast and receives its events.
//
// [Run] keeps a connection: it reconnects when one ends, and waits as long as
// the reason for the end asks for. [Dial] makes one connection, for a program
// that wants to do that itself.
//
// Events reach the handler one at a time, in the order of the log. A connection
// starts live: it receives what is published from its [Ack] on. What a gateway
// missed while it had no connection does not reach it.
//
// The package brings no part of the server into a program.
package client
