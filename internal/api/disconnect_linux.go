// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import "golang.org/x/sys/unix"

// tcpEstablished is TCP_ESTABLISHED of tcp(7): neither side has closed.
const tcpEstablished = 1

// peerClosed reports whether the peer of a socket has closed its side, also
// when data that it sent before has not been read yet.
func peerClosed(fd uintptr) bool {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State != tcpEstablished
}
