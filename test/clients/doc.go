// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package clients runs WebSocket clients that are not ours against the gatecast
// binary, over TLS: what a gateway may be built on must understand what we send,
// and be understood.
//
// A driver is a client library behind one small protocol: the test tells it what
// to connect to, it reports what it sees, in JSON. Scenarios are written once and
// run with every driver. The tests need the build tag "clients" and what the
// README names.
package clients
