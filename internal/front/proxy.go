// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/internal/netaddr"

	"github.com/pires/go-proxyproto"
)

// Proxies are the addresses of trusted proxies in front of the node. Only they can say
// who the client is. Without any, PROXY headers are not parsed.
type Proxies []netip.Prefix

// trusts reports whether an address is that of a trusted proxy.
func (p Proxies) trusts(a netip.Addr) bool { return netaddr.Contains(p, a) }

// proxyReadSize is the size of the first read, in bytes: a PROXY header and what comes
// with it.
const proxyReadSize = 4 << 10

// readHeader removes a header of the PROXY protocol, version 1 or 2. It returns the
// client, and the bytes that were read after the header. The header of an untrusted
// sender is removed and ignored.
func (p Proxies) readHeader(nc net.Conn) (client netip.AddrPort, buffered []byte, err error) {
	client = netaddr.Of(nc.RemoteAddr())
	if len(p) == 0 {
		return client, nil, nil
	}
	r := bufio.NewReaderSize(nc, proxyReadSize)
	bufferV1(r)
	header, err := proxyproto.Read(r)
	switch {
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
	case err != nil:
		return client, nil, err
	case p.trusts(client.Addr()) && header.Command.IsProxy():
		if source := netaddr.Of(header.SourceAddr); source.IsValid() {
			client = source
		}
	}
	buffered, _ = r.Peek(r.Buffered()) // does not read, so it cannot fail
	return client, bytes.Clone(buffered), nil
}

// maxV1 is the maximum size of a version 1 header with its CR LF (PROXY protocol, 2.1).
const maxV1 = 107

// bufferV1 buffers a version 1 header, if one starts here: proxyproto refuses one that
// arrives in pieces.
func bufferV1(r *bufio.Reader) {
	for n := len("PROXY "); n <= maxV1; n = r.Buffered() + 1 {
		if _, err := r.Peek(n); err != nil {
			return // proxyproto gets the same error
		}
		b, _ := r.Peek(r.Buffered()) // does not read, so it cannot fail
		if !bytes.HasPrefix(b, []byte("PROXY ")) || bytes.IndexByte(b, '\n') >= 0 {
			return
		}
	}
}

// forwardedFor returns the client of a request. When client is a trusted proxy, that is
// the last address in X-Forwarded-For that is not a trusted proxy.
func (p Proxies) forwardedFor(client netip.AddrPort, head *http1.Head) netip.AddrPort {
	if !p.trusts(client.Addr()) {
		return client
	}
	for _, hop := range slices.Backward(head.List("x-forwarded-for")) {
		a, ok := netaddr.ParseForwarded(hop)
		if !ok {
			return client // not an address: everything before it is untrusted
		}
		client = a
		if !p.trusts(client.Addr()) {
			break
		}
	}
	return client
}
