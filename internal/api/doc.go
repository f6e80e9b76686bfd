// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package api is a node's internal HTTP listener: what the platform publishes
// through, what operators manage gateways and read stats with, and what
// Prometheus scrapes.
//
// Requests and answers are JSON. Every error is an object of "error", a code
// that programs branch on, and "message", a sentence for people; an error about
// one field of a request has "field" besides. /health, /ready and /metrics are
// open; everything else needs the admin token as a bearer token, also to learn
// that a path does not exist.
//
// What can be long is streamed, and never held whole: the lists of connections
// and of events, and publishes by newline-delimited JSON. Such an answer is made
// on the connection's own goroutine, piece by piece as the client takes it.
//
// The package keeps no state of its own but the requests it is answering, and for
// two minutes what publishes with an idempotency key were answered. The log, the
// registry and the connections are behind interfaces that a node fills.
package api
