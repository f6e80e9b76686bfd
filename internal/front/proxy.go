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

// Proxies are the addresses of proxies in front of the node, whose word for who
// the client is counts. Without any, nobody's is listened to.
type Proxies []netip.Prefix

func (p Proxies) trusts(a netip.Addr) bool { return netaddr.Contains(p, a) }

// proxyRead is what is read ahead of a connection's first bytes: a header of the
// PROXY protocol, and what came with it.
const proxyRead = 4 << 10

// proxied returns who is at the other end of a connection, and what was read of it.
// A header of the PROXY protocol, version 1 or 2, is taken off whoever sent it, and
// believed when that is a proxy of ours.
func (p Proxies) proxied(nc net.Conn) (client netip.AddrPort, ahead []byte, err error) {
	client = netaddr.Of(nc.RemoteAddr())
	if len(p) == 0 {
		return client, nil, nil
	}
	r := bufio.NewReaderSize(nc, proxyRead)
	awaitV1(r)
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
	ahead, _ = r.Peek(r.Buffered()) // it is there
	return client, bytes.Clone(ahead), nil
}

// maxV1 bounds a header of version 1 with its CRLF, by the protocol.
const maxV1 = 107

// awaitV1 reads ahead a header of version 1, if one begins: proxyproto takes it for
// malformed where it comes in pieces.
func awaitV1(r *bufio.Reader) {
	for n := len("PROXY "); n <= maxV1; n = r.Buffered() + 1 {
		if _, err := r.Peek(n); err != nil {
			return // proxyproto meets it too
		}
		b, _ := r.Peek(r.Buffered()) // it is there
		if !bytes.HasPrefix(b, []byte("PROXY ")) || bytes.IndexByte(b, '\n') >= 0 {
			return
		}
	}
}

// forwarded returns who a request is from, of which X-Forwarded-For may tell when
// it came through a proxy of ours: the last address in it that is not one.
func (p Proxies) forwarded(client netip.AddrPort, head *http1.Head) netip.AddrPort {
	if !p.trusts(client.Addr()) {
		return client
	}
	for _, hop := range slices.Backward(head.List("x-forwarded-for")) {
		a, ok := netaddr.ParseForwarded(hop)
		if !ok {
			return client // nobody of ours wrote this, or who did does not know
		}
		client = a
		if !p.trusts(client.Addr()) {
			break
		}
	}
	return client
}
