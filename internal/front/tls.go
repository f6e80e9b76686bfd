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
	// firstReadSize is the size of a ClientHello with a post-quantum key share, in bytes.
	firstReadSize = 2 << 10
	// recordHandshake is the type of the first TLS record of a connection.
	recordHandshake = 0x16
	// lineTimeout limits the request line of a peer that does not speak TLS.
	lineTimeout = time.Second
)

// detectTLS reads until it is clear whether a peer speaks TLS, or plain HTTP. buffered is
// what was read before. arrived is buffered and what detectTLS read, which the next Read
// of nc does not return. Bytes that are neither TLS nor HTTP count as TLS, which refuses
// them.
func detectTLS(nc net.Conn, buffered []byte, deadline time.Time) (arrived []byte, plain bool) {
	arrived = buffered
	if len(arrived) == 0 {
		arrived = make([]byte, firstReadSize)
		n, _ := nc.Read(arrived) // the handshake gets the same error
		arrived = arrived[:n]
	}
	if len(arrived) == 0 || arrived[0] == recordHandshake {
		return arrived, false
	}
	_ = nc.SetReadDeadline(time.Now().Add(lineTimeout)) // fails only on a closed connection, where Read fails too
	defer func() { _ = nc.SetReadDeadline(deadline) }()
	for {
		line, more := http1.RequestLine(arrived[http1.EmptyLines(arrived):])
		if !more {
			return arrived, line
		}
		arrived = slices.Grow(arrived, firstReadSize)
		n, err := nc.Read(arrived[len(arrived) : len(arrived)+firstReadSize])
		if arrived = arrived[:len(arrived)+n]; err != nil {
			return arrived, false
		}
	}
}
