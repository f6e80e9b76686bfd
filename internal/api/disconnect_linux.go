// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import "golang.org/x/sys/unix"

// tcpEstablished is the one state of tcp(7) in which neither side has ended.
const tcpEstablished = 1

// hasEnded reports whether a socket's peer has ended its side, whatever has not been
// read of it yet.
func peerClosed(fd uintptr) bool {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State != tcpEstablished
}
