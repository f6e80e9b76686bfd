// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostile attacks a gatecast, over real sockets, in the ways that peers on
// the internet do: by being slow, by never reading, by floods, by broken TLS, HTTP
// and WebSocket, by guessing tokens.
//
// Its tests say for each attack how it ends and what counts it. Its benchmark says
// what others on the node notice:
//
//	go test -run '^$' -bench Bystanders -benchtime 1x -timeout 60m ./test/hostile
package hostile
