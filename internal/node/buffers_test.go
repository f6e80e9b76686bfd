// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"

	"golang.org/x/sys/unix"
)

// Through sockets whose buffers hold a few kilobytes, large events arrive whole and
// in order, on every way that records are made.
func TestSmallSocketBuffers(t *testing.T) {
	t.Parallel() // mostly waits
	for name, change := range map[string]func(*Config){
		"own records": func(*Config) {},
		"crypto/tls":  func(c *Config) { c.TLSRecords = settings.TLSRecordsStdlib },
		"plain":       func(c *Config) { c.Plaintext = true },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			change(&cfg)
			s := start(t, cfg)
			smallBuffers(t, s.gatewayLn)
			token, _ := s.gateway("g")
			r := s.connect(token)
			for i := range 3 { // fewer bytes than a slow consumer's
				payload := fmt.Sprint(i, strings.Repeat("x", 1<<20-1000))
				id := s.publish("g", fmt.Sprintf("%q", payload))
				if frame := r.next(); frame["id"] != id || frame["payload"] != payload {
					t.Fatalf("event %d came as %v of %d bytes", i, frame["id"], len(fmt.Sprint(frame["payload"])))
				}
			}
		})
	}
}

// smallBuffers has the kernel give the connections of a listener the least there is
// for what is sent: they inherit it.
func smallBuffers(t *testing.T, ln net.Listener) {
	t.Helper()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}
