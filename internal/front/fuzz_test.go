// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gatecast/gatecast/internal/http1"
)

// net/http reads an accepted upgrade as the same request, and RFC 6455 section 4.2.1
// accepts it. net/http can parse every refusal.
func FuzzUpgrade(f *testing.F) {
	f.Add([]byte(upgradeWith()), true)
	f.Add([]byte(upgradeWith("Last-Event-ID", "k3f9-1", "Replay", "latest", "Sec-WebSocket-Extensions", "permessage-deflate")), true)
	f.Add([]byte(upgradeWith("", "GET http://x"+ConnectPath+"?since=k-1&replay=latest HTTP/1.1")), false)
	f.Add([]byte(upgradeWith("", "POST "+ConnectPath+" HTTP/1.1", "Content-Length", "2")+"{}"), false)
	for _, line := range []string{
		"A: b\nHost: y", "A: b\rapi-key: y", "A: b\n\nGET / HTTP/1.1", " folded", "A : b", "Host: y", "api-key: y", "A: \x00",
		"Content-Length: 5", "Transfer-Encoding: chunked", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	} {
		f.Add([]byte(strings.Replace(upgradeWith(), "\r\n\r\n", "\r\n"+line+"\r\n\r\n", 1)+"\x81\x80abcd"), false)
	}
	f.Add([]byte(upgradeWith("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ!=")), false)
	f.Add([]byte(upgradeWith("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQAA")), false)
	f.Add([]byte(upgradeWith("Host", "x y")), false)
	for _, version := range []string{"HTTP/1.:", "HTTP/1.10", "HTTP/01.1", "HTTP/2.0", "HTTP/1.2", "HTTP/1.0", "http/1.1"} {
		f.Add([]byte(upgradeWith("", "GET "+ConnectPath+" "+version)), false)
	}
	f.Add([]byte("\r\n\r\n"+upgradeWith("Connection", "keep-alive,, \tUPGRADE", "Upgrade", "h2c , WebSocket/13")), false)
	f.Fuzz(func(t *testing.T, text []byte, compression bool) {
		head, after, err := readHead(bytes.NewReader(text), make([]byte, http1.MaxHead))
		slowHead, _, slowErr := readHead(iotest.OneByteReader(bytes.NewReader(text)), make([]byte, http1.MaxHead))
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("%v at once, %v a byte at a time", err, slowErr)
		}
		if bad, ok := errors.AsType[*http1.Error](err); ok {
			checkRefusalResponse(t, refusalOf(bad))
		}
		if err != nil {
			return
		}
		sent := text[http1.EmptyLines(text):]
		if head.Text() != slowHead.Text() || !bytes.HasPrefix(sent, slices.Concat([]byte(head.Text()), after)) {
			t.Fatal("the head and the bytes after it are not what was sent")
		}
		if head.URL.Path != ConnectPath {
			return
		}
		up, refused := parseUpgrade(head, compression)
		if refused != nil {
			checkRefusalResponse(t, refused)
			return
		}
		sameAsNetHTTP(t, []byte(head.Text()), up)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(up.response)), nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || up.deflate != (resp.Header.Get("Sec-WebSocket-Extensions") != "") || up.deflate && !compression {
			t.Errorf("%q: %v", up.response, err)
		}
	})
}

func checkRefusalResponse(t *testing.T, no *refusal) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(no.response())), nil)
	if err != nil {
		t.Fatalf("%q: %v", no.response(), err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != no.status || !slices.Contains([]int{400, 405, 426, 505}, no.status) || !json.Valid(body) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// sameAsNetHTTP compares an accepted upgrade with how net/http reads the request.
func sameAsNetHTTP(t *testing.T, head []byte, up *upgrade) {
	rest := bufio.NewReader(bytes.NewReader(head))
	r, err := http.ReadRequest(rest)
	if err != nil {
		t.Fatalf("net/http refuses what is upgraded: %v", err)
	}
	one := func(name string) string {
		values := r.Header.Values(name)
		if len(values) > 1 {
			t.Errorf("%s: %q", name, values)
		}
		return r.Header.Get(name)
	}
	if rest.Buffered() != 0 || r.ContentLength != 0 || len(r.TransferEncoding) != 0 {
		t.Errorf("%d bytes after the head, a body of %d and %v", rest.Buffered(), r.ContentLength, r.TransferEncoding)
	}
	if r.Method != http.MethodGet || r.URL.Path != ConnectPath || !r.ProtoAtLeast(1, 1) || one("Sec-WebSocket-Version") != "13" {
		t.Errorf("%s %s %s", r.Method, r.URL, r.Proto)
	}
	if len(r.Host) == 0 {
		t.Error("no host")
	}
	if !hasToken(r.Header.Values("Upgrade"), "websocket") || !hasToken(r.Header.Values("Connection"), "upgrade") {
		t.Errorf("upgraded: %v", r.Header)
	}
	if key, err := base64.StdEncoding.DecodeString(one("Sec-WebSocket-Key")); err != nil || len(key) != 16 {
		t.Errorf("the key has %d bytes: %v", len(key), err)
	}
	if token := one("Api-Key"); token != up.token {
		t.Errorf("token %q, net/http has %q", up.token, token)
	}
	since := one("Last-Event-ID")
	if since == "" {
		since = r.URL.Query().Get("since")
	}
	if since != up.since {
		t.Errorf("since %q, net/http has %q", up.since, since)
	}
}

// hasToken reports whether a list in headers has a token, in any case.
func hasToken(values []string, token string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(values, ","), ","), func(s string) bool {
		return strings.EqualFold(strings.TrimSpace(s), token)
	})
}

// A sentConn is a connection that has received some bytes.
type sentConn struct {
	net.Conn
	io.Reader
}

func (c sentConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }
func (sentConn) RemoteAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// A PROXY header is removed as a whole or not at all, in pieces of any size. Only a
// trusted proxy's header counts, and it is read as the specification says.
func FuzzProxyHeader(f *testing.F) {
	for _, text := range []string{
		"", "GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\nGET", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n\x16\x03",
		"PROXY UNKNOWN\r\nGET", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n", "PROXY TCP4 2001:db8::7 192.0.2.1 1 2\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 04711 99999\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443 more\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\n",
		"PROXY " + strings.Repeat("x", 200) + "\r\n", v2 + "GET", v2[:12] + "\x20" + v2[13:], v2[:14] + "\xff\xff" + v2[16:], v2[:13] + "\x21\x00\x24" + strings.Repeat("a", 36),
		v2[:13] + "\x00\x00\x00", v2[:13] + "\x31\x00\xd8" + strings.Repeat("a", 216), v2[:14] + "\x00\x0f" + v2[16:] + "\x04\x00\x00",
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, trusted bool) {
		p := Proxies(otherNetwork)
		if trusted {
			p = loopback
		}
		whole := bytes.NewReader(text)
		client, ahead, err := p.readHeader(sentConn{Reader: whole})
		pieces := bytes.NewReader(text)
		client2, ahead2, err2 := p.readHeader(sentConn{Reader: iotest.OneByteReader(pieces)})
		if client != client2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%v (%v) at once, %v (%v) in pieces", client, err, client2, err2)
		}
		rest := slices.Concat(ahead, text[len(text)-whole.Len():])
		if rest2 := slices.Concat(ahead2, text[len(text)-pieces.Len():]); err == nil && (!bytes.Equal(rest, rest2) || !bytes.HasSuffix(text, rest)) {
			t.Fatalf("%q is left at once, %q in pieces", rest, rest2)
		}
		direct := netip.MustParseAddrPort("127.0.0.1:1")
		header := text[:len(text)-len(rest)]
		switch {
		case err != nil || !trusted || len(header) == 0:
			if client != direct {
				t.Errorf("%q: from %v", text, client)
			}
		default:
			if want := clientInHeader(t, header, direct); client != want {
				t.Errorf("%q: from %v, want %v", header, client, want)
			}
		}
	})
}

// clientInHeader returns the client in an accepted header, by the specification of the
// PROXY protocol.
func clientInHeader(t *testing.T, header []byte, direct netip.AddrPort) netip.AddrPort {
	if bytes.HasPrefix(header, []byte(v2[:12])) {
		return clientInV2(t, header, direct)
	}
	line, ok := strings.CutSuffix(string(header), "\r\n")
	fields := strings.Split(line, " ")
	if !ok || len(header) > 107 || len(fields) < 2 || fields[0] != "PROXY" {
		t.Fatalf("taken for a header: %q", header)
	}
	if fields[1] == "UNKNOWN" {
		return direct
	}
	if len(fields) != 6 {
		t.Fatalf("accepted: %q", header)
	}
	var ports [2]uint16
	for i, text := range fields[4:] {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			t.Fatalf("accepted: %q: %v", header, err)
		}
		ports[i] = uint16(n)
	}
	for _, text := range fields[2:4] {
		if a, err := netip.ParseAddr(text); err != nil || a.Is4() != (fields[1] == "TCP4") {
			t.Fatalf("accepted: %q: %v", header, err)
		}
	}
	return netip.AddrPortFrom(netip.MustParseAddr(fields[2]).Unmap(), ports[0])
}

func clientInV2(t *testing.T, header []byte, direct netip.AddrPort) netip.AddrPort {
	if len(header) < 16 || header[12]>>4 != 2 || header[12]&0xf > 1 || len(header) != 16+int(header[14])<<8+int(header[15]) {
		t.Fatalf("taken for a header: %q", header)
	}
	if header[12]&0xf == 0 { // LOCAL
		return direct
	}
	port := func(at int) uint16 { return uint16(header[at])<<8 | uint16(header[at+1]) }
	switch header[13] {
	case 0x11:
		a, _ := netip.AddrFromSlice(header[16:20])
		return netip.AddrPortFrom(a, port(24))
	case 0x21:
		a, _ := netip.AddrFromSlice(header[16:32])
		return netip.AddrPortFrom(a.Unmap(), port(48))
	}
	return direct // no TCP connection
}
