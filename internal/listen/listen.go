// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package listen binds TCP addresses, and keeps accepting when the system is short of
// descriptors or memory.
package listen

import (
	"context"
	"net"
)

// TCP binds an address. TCP keep-alive is off: WebSocket pings detect dead peers too, and
// sooner.
func TCP(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	return lc.Listen(context.Background(), "tcp", address)
}
