// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"strings"
	"testing"
)

// A repeatConn receives the same request again and again, each in one read.
type repeatConn struct {
	sentConn
	request string
}

func (c *repeatConn) Read(p []byte) (int, error) { return copy(p, c.request), nil }

// BenchmarkConnRead passes requests with a body through a Conn. An operation is a request.
func BenchmarkConnRead(b *testing.B) {
	body := strings.Repeat("x", 200)
	request := "POST /api/internal/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\nContent-Length: 200\r\n\r\n" + body
	c := NewConn(&repeatConn{request: request}, &Rules{}, nil)
	p := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		for n := 0; n < len(request); {
			m, err := c.Read(p[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
		if !bytes.HasSuffix(p[:len(request)], []byte(body)) {
			b.Fatal("another request")
		}
	}
}
