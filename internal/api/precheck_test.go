// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/http1"

	"github.com/valyala/fasthttp"
)

// fasthttp reads a head that passed the check in the same way as the check, or refuses it.
func FuzzCheckedHead(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST /a?b;c HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 007\r\n\r\n", "POST /a HTTP/1.0\r\nContent-Length: 3\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \tCHUNKED \r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
		"OPTIONS * HTTP/1.2\r\nHOST:h\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", "GET http://x/y HTTP/1.1\r\nHost: h\r\nConnection: close, x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var scanner http1.Scanner
		head, bad := scanner.Next(text)
		if bad != nil || head == nil {
			return
		}
		end := len(head.Text())
		var h fasthttp.RequestHeader
		br := bufio.NewReaderSize(bytes.NewReader(text[:end]), http1.MaxHead)
		if err := h.Read(br); err != nil {
			return
		}
		length := int(head.Length) // -1 means chunks there too
		if got := h.ContentLength(); got != length && (got != -2 || length != 0) {
			t.Errorf("a body of %d bytes, for fasthttp %d", length, got)
		}
		if string(h.Method()) != head.Method || string(h.RequestURI()) != head.Target || br.Buffered() != 0 {
			t.Errorf("%s %s, for fasthttp %s %s", head.Method, head.Target, h.Method(), h.RequestURI())
		}
		if values := head.Values("host"); len(values) > 0 && string(h.Host()) != values[0] {
			t.Errorf("host %q, for fasthttp %q", values, h.Host())
		}
		if values := head.Values("authorization"); len(values) > 0 && strings.Trim(string(h.Peek("Authorization")), " \t") != values[0] {
			t.Errorf("authorization %q, for fasthttp %q", values, h.Peek("Authorization"))
		}
	})
}
