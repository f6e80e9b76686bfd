// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package front is the listener that gateways connect to. It accepts, does the
// TLS handshake and reads one request, in a short-lived goroutine with a
// deadline; a bounded number at once, and accepting waits at the bound. Then it
// hands the connection on: an upgrade to its gateway's shard, anything else to an
// ordinary net/http server.
//
// Everything that could refuse an upgrade is decided here, before it: a gateway
// that is upgraded and then closed would come back at once, and one that is
// refused with a 4xx it does not know might never.
package front
