// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package api is the internal HTTP listener of a node. The platform publishes
// events through it, operators manage gateways and read statistics, and
// Prometheus scrapes metrics.
//
// Requests and answers are JSON. An error is an object with "error", a code for
// programs, and "message", a sentence for people. An error about one field,
// parameter or header also has "field". The codes are constants in problem.go;
// openapi.yaml in package spec documents every route and every error.
//
// The routes /health, /ready, /metrics, the two API documents and the files of
// the ops page are public. Every other path needs an admin token as a bearer
// token, also a path that does not exist.
//
// Long answers are streamed and never held in memory as a whole: lists of
// connections and of events, and the answers of bulk publishes
// (newline-delimited JSON). The goroutine of the connection makes such an
// answer piece by piece, as fast as the client reads it.
//
// The package keeps three kinds of state: the requests that are in progress,
// the receipts of publishes with an idempotency key (for two minutes), and the
// answers of bulk publishes that clients have not read yet. The event log, the
// registry and the connections are behind interfaces that package node
// implements (backends.go).
package api
