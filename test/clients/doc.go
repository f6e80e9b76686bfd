// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package clients tests the gatecast binary with WebSocket clients of other authors, over TLS:
// libraries that gateways may be built on must work with it.
//
// A driver is a client library behind a small protocol in JSON: the test sends it commands, and it
// reports what it sees. Scenarios are written once and run with every driver. The tests need the
// build tag "clients" and the programs that the README lists.
package clients
