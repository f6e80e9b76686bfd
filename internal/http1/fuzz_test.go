// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// A sentConn is a connection that has received some bytes.
type sentConn struct {
	net.Conn
	io.Reader
	answers bytes.Buffer
}

func (c *sentConn) Read(b []byte) (int, error)       { return c.Reader.Read(b) }
func (c *sentConn) Write(b []byte) (int, error)      { return c.answers.Write(b) }
func (*sentConn) SetReadDeadline(time.Time) error    { return nil }
func (*sentConn) SetWriteDeadline(t time.Time) error { return nil }

// A served is a request as the server sees it.
type served struct {
	method, target, host, body string
	whole                      bool
}

// serve reads the requests of a connection as net/http does. It returns them, and the
// response of the Conn that ended the connection.
func serve(t *testing.T, r io.Reader) (requests []served, answer string) {
	under := &sentConn{Reader: r}
	refuse := func(bad *Error) []byte { return []byte(bad.Message) }
	br := bufio.NewReader(NewConn(under, &Rules{Refuse: refuse}, nil))
	for {
		if _, err := br.Peek(1); err != nil {
			return requests, under.answers.String()
		}
		req, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("net/http refuses a checked request: %v", err)
		}
		body, err := io.ReadAll(req.Body)
		requests = append(requests, served{req.Method, req.RequestURI, req.Host, string(body), err == nil})
		if req.ProtoAtLeast(1, 1) && req.Host == "" && !strings.Contains(req.RequestURI, "://") || len(req.TransferEncoding) > 0 && req.ContentLength != -1 {
			t.Errorf("accepted: %+v", req)
		}
		if err != nil {
			if under.answers.Len() > 0 {
				t.Errorf("after half a body: %q", under.answers.String())
			}
			return requests, ""
		}
	}
}

// The server gets the same requests in pieces of any size. It accepts all their heads, and
// their bodies except that they can be truncated.
func FuzzConn(f *testing.F) {
	const get, host = "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "Host: h\r\n"
	for _, text := range []string{
		get, get + get, "\r\n" + get + "\r\n\r\n" + get, "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.:\r\n\r\n", "GET http://x/y?z HTTP/1.2\r\n" + host + "\r\n",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc" + get,
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nA: b\r\n\r\n" + get,
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + get,
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + get,
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n" + get,
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + get,
		"GET / HTTP/1.1\nHost: h\n\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + " folded: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\n\r\n", "\r\r\n" + get,
		"\x16\x03\x01", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", "GET // HTTP/1.1\r\n" + host + "Trailer: Content-Length\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, answer := serve(t, bytes.NewReader(text))
		pieces, answer2 := serve(t, iotest.OneByteReader(bytes.NewReader(text)))
		if !reflect.DeepEqual(whole, pieces) || answer != answer2 {
			t.Errorf("at once %+v and %q, in pieces %+v and %q", whole, answer, pieces, answer2)
		}
		for i, r := range whole {
			if !r.whole && i < len(whole)-1 {
				t.Errorf("a request after half of one: %+v", whole)
			}
		}
	})
}

// A complete body ends where it ends for net/http's chunk reader.
func FuzzBody(f *testing.F) {
	for _, text := range []string{"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\nrest", "003;a=\"b\"\r\nabc\r\n0;x\r\nA: b\r\n\r\n", "fffffffffffffff\r\n", "0\r\nA:\r\n\r\n", "3\nabc\n0\n\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b, slow body
		b.begin(Chunked)
		n, err := b.take(text)
		slow.begin(Chunked)
		m, slowErr := 0, error(nil)
		for m < len(text) && slow.state != ended && slowErr == nil {
			var k int
			k, slowErr = slow.take(text[m : m+1])
			m += k
		}
		if n != m || !errors.Is(slowErr, err) || b.state != slow.state {
			t.Fatalf("%d and %v at once, %d and %v a byte at a time", n, err, m, slowErr)
		}
		if b.state != ended {
			return
		}
		br := bufio.NewReader(io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), bytes.NewReader(text)))
		req, err := http.ReadRequest(br)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			t.Fatalf("%q: net/http: %v", text[:n], err)
		}
		rest, _ := io.ReadAll(br)
		if len(rest) != len(text)-n {
			t.Errorf("%q ends after %d bytes, for net/http after %d", text, n, len(text)-len(rest))
		}
	})
}
