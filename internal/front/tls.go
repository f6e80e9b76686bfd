// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"net"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/http1"
)

const (
	// firstRead is as much as a ClientHello with a post-quantum key share has, in
	// bytes.
	firstRead = 2 << 10
	// recordHandshake is the type of the TLS record that begins a connection.
	recordHandshake = 0x16
	// lineTimeout is how long a peer that does not speak TLS may take for its request
	// line.
	lineTimeout = time.Second
)

// awaitTLS reads until it is clear whether a peer speaks TLS, or HTTP without it.
// ahead is what has arrived; arrived is that and what was read, which the
// connection's next Read does not return. What is neither is left to TLS to refuse.
func awaitTLS(nc net.Conn, ahead []byte, deadline time.Time) (arrived []byte, plain bool) {
	arrived = ahead
	if len(arrived) == 0 {
		arrived = make([]byte, firstRead)
		n, _ := nc.Read(arrived) // the handshake meets the error too
		arrived = arrived[:n]
	}
	if len(arrived) == 0 || arrived[0] == recordHandshake {
		return arrived, false
	}
	_ = nc.SetReadDeadline(time.Now().Add(lineTimeout)) // fails only on a closed connection, as the next call does
	defer func() { _ = nc.SetReadDeadline(deadline) }()
	for {
		line, more := http1.RequestLine(arrived[http1.EmptyLines(arrived):])
		if !more {
			return arrived, line
		}
		arrived = slices.Grow(arrived, firstRead)
		n, err := nc.Read(arrived[len(arrived) : len(arrived)+firstRead])
		if arrived = arrived[:len(arrived)+n]; err != nil {
			return arrived, false
		}
	}
}
