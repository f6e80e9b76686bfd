// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A rawPlatform keeps what it is sent as it was sent, and answers one request a
// connection.
type rawPlatform struct {
	ln net.Listener
	wg sync.WaitGroup

	mu  sync.Mutex
	got [][]byte
}

func startRawPlatform(t *testing.T) *rawPlatform {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &rawPlatform{ln: ln}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.wg.Wait()
	})
	return p
}

func (p *rawPlatform) serve(c net.Conn) {
	defer c.Close()
	var raw bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
	if err != nil {
		return // a connection that was made ahead of need, or whose request broke off
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	p.mu.Lock()
	p.got = append(p.got, bytes.Clone(raw.Bytes()))
	p.mu.Unlock()
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

// take returns what was sent since the last call.
func (p *rawPlatform) take() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// smuggled is a request that nobody has sent, but for who finds it in another's body.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

// malformed are requests that two servers could read differently (RFC 9112 section
// 11.2), and others that RFC 9112 and RFC 9110 forbid.
var malformed = []struct {
	name, request string
	status        int
}{
	{"a length and chunks", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400},
	{"chunks and a length", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400},
	{"chunks and no length", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400},
	{"two lengths", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 40\r\n\r\nabc" + smuggled, 400},
	{"the same length twice", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 400},
	{"a list of lengths", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 40\r\n\r\nabc" + smuggled, 400},
	{"a list of the same length", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc" + smuggled, 400},
	{"a length with a plus", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc" + smuggled, 400},
	{"a length with a minus", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc" + smuggled, 400},
	{"a hexadecimal length", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc" + smuggled, 400},
	{"a length with a space", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3 0\r\n\r\nabc" + smuggled, 400},
	{"a length with an underscore", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 1_0\r\n\r\nabc" + smuggled, 400},
	{"a length that overflows", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551619\r\n\r\nabc" + smuggled, 400},
	{"an empty length", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nabc" + smuggled, 400},
	{"a coding nobody knows", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n" + smuggled, 400},
	{"no coding by name", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n" + smuggled, 400},
	{"no coding by name, with a length", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 400},
	{"an empty coding", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n" + smuggled, 400},
	{"two codings", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"two codings in a list", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"chunks twice", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"chunks in quotes", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"chunks after a vertical tab", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"chunks after a no-break space", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"chunks that are folded", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"chunks of HTTP/1.0", "POST /outer HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
	{"a space before the colon", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 400},
	{"a header that starts with a space", "POST /outer HTTP/1.1\r\nHost: h\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400},
	{"a first header that starts with a space", "GET /outer HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n", 400},
	{"a folded header", "GET /outer HTTP/1.1\r\nHost: h\r\nX: y\r\n\tz\r\n\r\n", 400},
	{"a carriage return in a header", "POST /outer HTTP/1.1\r\nHost: h\r\nX: a\rTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 400},
	{"a line feed in a header", "POST /outer HTTP/1.1\r\nHost: h\r\nX: a\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 400},
	{"line feeds alone", "GET /outer HTTP/1.1\nHost: h\n\n", 400},
	{"a line feed that ends the head", "GET /outer HTTP/1.1\r\nHost: h\r\n\n", 400},
	{"carriage returns alone", "GET /outer HTTP/1.1\rHost: h\r\r", 400},
	{"an empty line of a line feed", "\nGET /outer HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"a zero byte in a header", "POST /outer HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\nContent-Length: 3\r\n\r\nabc", 400},
	{"a header without a name", "GET /outer HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400},
	{"a header without a colon", "GET /outer HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400},
	{"two hosts", "GET /outer HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400},
	{"the same host twice", "GET /outer HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
	{"no host", "GET /outer HTTP/1.1\r\n\r\n", 400},
	{"an empty host", "GET /outer HTTP/1.1\r\nHost:\r\n\r\n", 400},
	{"a host with a space", "GET /outer HTTP/1.1\r\nHost: h i\r\n\r\n", 400},
	{"a host with a path", "GET /outer HTTP/1.1\r\nHost: h/outer\r\n\r\n", 400},
	{"a host with a user", "GET /outer HTTP/1.1\r\nHost: me@h\r\n\r\n", 400},
	{"a list of hosts", "GET /outer HTTP/1.1\r\nHost: h, i\r\n\r\n", 400},
	{"a host with a port that is none", "GET /outer HTTP/1.1\r\nHost: h:http\r\n\r\n", 400},
	{"no host, only a port", "GET /outer HTTP/1.1\r\nHost: :80\r\n\r\n", 400},
	{"no host beside an absolute target", "GET http://h/outer HTTP/1.1\r\n\r\n", 400},
	{"a space in the path", "GET /outer HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"two spaces in the request line", "GET  /outer HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"a tab in the request line", "GET\t/outer HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"a space after the version", "GET /outer HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
	{"no version", "GET /outer\r\nHost: h\r\n\r\n", 400},
	{"a target that is no path", "GET outer HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"a method that is none", "G(T /outer HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"the version 1.:", "GET /outer HTTP/1.:\r\nHost: h\r\n\r\n", 400},
	{"the version 1.10", "GET /outer HTTP/1.10\r\nHost: h\r\n\r\n", 400},
	{"the version 01.1", "GET /outer HTTP/01.1\r\nHost: h\r\n\r\n", 400},
	{"the version 1", "GET /outer HTTP/1\r\nHost: h\r\n\r\n", 400},
	{"the version in small letters", "GET /outer http/1.1\r\nHost: h\r\n\r\n", 400},
	{"the version of another protocol", "GET /outer HTTQ/1.1\r\nHost: h\r\n\r\n", 400},
	{"the version 2.0", "GET /outer HTTP/2.0\r\nHost: h\r\n\r\n", 505},
	{"the version 0.9", "GET /outer HTTP/0.9\r\nHost: h\r\n\r\n", 505},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
	{"an expectation that is unknown", "POST /outer HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\n", 417},
	{"a tunnel", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 405},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
	{"garbage", "\x80\x00\x01", 400},
	{"a head without end", "GET /outer HTTP/1.1\r\nX: " + strings.Repeat("x", 9000), 0},
}

// Such a request does not get to the platform, nor to the internal route; it is
// answered as every error is, and ends the connection. So does one that comes after
// another one.
func TestRequestSmuggling(t *testing.T) {
	platform := startRawPlatform(t)
	cfg := config(t)
	cfg.PlatformURL = "http://" + platform.ln.Addr().String()
	s := start(t, cfg)
	listeners := map[string]func() (net.Conn, error){
		"gateways": func() (net.Conn, error) {
			return tls.Dial("tcp", s.GatewayAddr().String(), &tls.Config{InsecureSkipVerify: true})
		},
		"internal": func() (net.Conn, error) { return net.Dial("tcp", s.InternalAddr().String()) },
	}
	for listener, dial := range listeners {
		for _, first := range []string{"", "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\nGET /health HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\n"} {
			for _, tt := range malformed {
				t.Run(fmt.Sprintf("%s/%d/%s", listener, len(first), tt.name), func(t *testing.T) {
					c, err := dial()
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(20 * time.Second))
					go io.WriteString(c, first+tt.request)
					br := bufio.NewReader(c)
					if first != "" {
						resp, err := http.ReadResponse(br, nil)
						if err != nil || resp.StatusCode != 200 {
							t.Fatalf("the request ahead of it: %v, %v", resp, err)
						}
						_, _ = io.Copy(io.Discard, resp.Body)
					}
					checkError(t, br, tt.status)
					if got := platform.take(); len(got) > 0 {
						t.Errorf("the platform got %q", got)
					}
				})
			}
		}
	}
}

// checkError checks that an error is answered, as all are, and that nothing follows
// it. Status 0 is that of a head that is too long, which the listeners have each
// their own for.
func checkError(t *testing.T, br *bufio.Reader, status int) {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ Error, Message string }
	err = json.NewDecoder(resp.Body).Decode(&e)
	if err != nil || e.Error == "" || e.Message == "" || resp.Header.Get("Content-Type") != "application/json" || !resp.Close {
		t.Errorf("%+v, %v; %v", e, err, resp)
	}
	if resp.StatusCode != status && (status != 0 || resp.StatusCode != 400 && resp.StatusCode != 431) {
		t.Errorf("status %d, want %d", resp.StatusCode, status)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("and then %q", rest)
	}
}

// A body that does not end where its request says is the platform's, as far as it
// came, and nothing comes after it.
func TestMalformedChunks(t *testing.T) {
	const head = "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	platform := startRawPlatform(t)
	cfg := config(t)
	cfg.PlatformURL = "http://" + platform.ln.Addr().String()
	s := start(t, cfg)
	for name, body := range map[string]string{
		"a size that overflows":         "fffffffffffffffff\r\nabc",
		"a negative size":               "-3\r\nabc\r\n0\r\n\r\n",
		"a size with a sign":            "+3\r\nabc\r\n0\r\n\r\n",
		"a size with a prefix":          "0x3\r\nabc\r\n0\r\n\r\n",
		"a size with a space before":    " 3\r\nabc\r\n0\r\n\r\n",
		"a size with a space after":     "3 \r\nabc\r\n0\r\n\r\n",
		"no size":                       "\r\nabc\r\n0\r\n\r\n",
		"a size that a line feed ends":  "3\nabc\r\n0\r\n\r\n",
		"a chunk that is too long":      "3\r\nabcd\r\n0\r\n\r\n",
		"a chunk that a line feed ends": "3\r\nabc\n0\r\n\r\n",
		"an end that a line feed ends":  "3\r\nabc\r\n0\r\n\n",
		"an extension with a line feed": "3;x\ny\r\nabc\r\n0\r\n\r\n",
		"a trailer that is folded":      "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
		"a trailer that is none":        "3\r\nabc\r\n0\r\nnonsense\r\n" + smuggled,
		"a request for trailers":        "3\r\nabc\r\n0\r\n" + smuggled,
		"a trailer without a name":      "3\r\nabc\r\n0\r\n: x\r\n\r\n",
		"a trailer with a line feed":    "3\r\nabc\r\n0\r\nX: y\nZ: z\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := tls.Dial("tcp", s.GatewayAddr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = io.WriteString(c, head+body+smuggled)
			checkError(t, bufio.NewReader(c), 400)
			if got := platform.take(); len(got) > 0 {
				t.Errorf("the platform got %q", got)
			}
		})
	}
}

// What is valid gets to the platform, with one end.
func TestForwarding(t *testing.T) {
	platform := startRawPlatform(t)
	cfg := config(t)
	cfg.PlatformURL = "http://" + platform.ln.Addr().String()
	s := start(t, cfg)
	for name, request := range map[string]string{
		"a length":                 "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		"a length with zeros":      "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc",
		"chunks":                   "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"chunks in capitals":       "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \t ChunkEd \t\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"an extension, a trailer":  "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0003;a=\"b\";c\r\nabc\r\n00;x\r\nA: b\r\nC:\r\n\r\n",
		"a later minor version":    "POST /outer HTTP/1.2\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.0 without a host":  "POST /outer HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
		"an IPv6 host with a port": "POST /outer HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 3\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := tls.Dial("tcp", s.GatewayAddr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = io.WriteString(c, request)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			got := platform.take()
			if len(got) != 1 {
				t.Fatalf("the platform got %q", got)
			}
			checkForwarded(t, string(got[0]))
		})
	}
}

// checkForwarded checks that a request with a body of three bytes has one end.
func checkForwarded(t *testing.T, raw string) {
	t.Helper()
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	length := strings.Contains(head, "\r\nContent-Length: 3")
	chunked := strings.Contains(head, "\r\nTransfer-Encoding: chunked")
	if length == chunked || strings.Count(strings.ToLower(head), "content-length")+strings.Count(strings.ToLower(head), "transfer-encoding") != 1 {
		t.Errorf("want a length or chunks, once:\n%s", raw)
	}
	if want := map[bool]string{true: "abc", false: "3\r\nabc\r\n0\r\n\r\n"}[length]; body != want {
		t.Errorf("the body is %q, want %q", body, want)
	}
}
