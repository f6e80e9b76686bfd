// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package netaddr brings IP addresses into one form, in which they are compared and used
// as keys. An IPv4 address mapped into IPv6 (::ffff:192.0.2.7) becomes the IPv4 address.
// A zone (fe80::1%eth0) is removed: it has a meaning on one machine only.
package netaddr

import (
	"errors"
	"net"
	"net/netip"
	"strings"
)

// Canonical returns an address without IPv4 mapping and zone.
func Canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// mappedBits is the length of ::ffff:0:0/96, the prefix of mapped addresses, in bits.
const mappedBits = 96

// ParsePrefix parses a CIDR, or an address as a range of one address. A range of mapped
// addresses becomes the range of the IPv4 addresses.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, addrErr := netip.ParseAddr(s)
		if addrErr != nil || strings.Contains(s, "/") { // a zone can contain a slash
			return netip.Prefix{}, err
		}
		a = Canonical(a)
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	if p.Bits() < mappedBits {
		return netip.Prefix{}, errors.New("the range has more than the IPv4-mapped addresses; give the IPv4 and the IPv6 range separately")
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits).Masked(), nil
}

// Contains reports whether one of the ranges contains an address. The ranges are results
// of [ParsePrefix].
func Contains(ranges []netip.Prefix, a netip.Addr) bool {
	a = Canonical(a)
	for _, p := range ranges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Of returns a TCP address as a netip.AddrPort, and the zero value for any other address. It
// removes an IPv4 mapping, and keeps a zone.
func Of(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// ParseForwarded parses one element of X-Forwarded-For: an address, possibly in quotes, in
// brackets, or with a port. Without a port the port is 0. It reports false for anything
// else, for example "unknown" and the obfuscated names of RFC 7239 section 6.3.
func ParseForwarded(s string) (netip.AddrPort, bool) {
	s = strings.Trim(s, " \t")
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		s = strings.Trim(s[1:n-1], " \t")
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a.Unmap(), 0), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
	}
	if n := len(s); n >= 2 && s[0] == '[' && s[n-1] == ']' {
		if a, err := netip.ParseAddr(s[1 : n-1]); err == nil && a.Is6() {
			return netip.AddrPortFrom(a.Unmap(), 0), true
		}
	}
	return netip.AddrPort{}, false
}

// Source returns the address that stands for all addresses of one source: an IPv4 address,
// or the /64 of an IPv6 address, because one machine usually has a whole /64.
func Source(a netip.Addr) netip.Addr {
	a = Canonical(a)
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		panic("BUG: an IPv6 address has no /64: " + err.Error())
	}
	return p.Addr()
}
