// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostile attacks a node over real sockets as peers on the internet do: they are slow,
// never read, flood, guess tokens, and break the rules of TLS, HTTP and WebSocket.
//
// The tests define how each attack ends and which metric counts it. The benchmark measures the
// effect on other connections:
//
//	go test -run '^$' -bench Bystanders -benchtime 1x -timeout 60m ./test/hostile
package hostile
