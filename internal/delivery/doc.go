// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package delivery knows what became of events: which gateways have received
// them, and what those answered. It does no I/O.
//
// Events of a gateway are written to a connection in the order of the log, none
// left out. So nothing is kept for each event and gateway: a gateway has a few
// spans of the log, and an event for it was delivered when it lies in one. What
// is kept of each event is answers.
//
// What happens is told as [Facts], which may be told twice, late and in any
// order; so the facts of several nodes, written to one journal, make the same
// [Book] on all of them.
package delivery
