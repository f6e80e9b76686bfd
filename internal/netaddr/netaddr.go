// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package netaddr has the one form in which IP addresses are compared and used as
// keys: an IPv4 address that is mapped into IPv6 (::ffff:192.0.2.7) is the IPv4
// address, and a zone (fe80::1%eth0) is not part of an address, as it means
// something on one machine only.
package netaddr

import (
	"errors"
	"net"
	"net/netip"
	"strings"
)

// Canonical returns the form of an address to compare it by.
func Canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// mappedBits is the length of ::ffff:0:0/96, the prefix of mapped addresses.
const mappedBits = 96

// ParsePrefix parses a CIDR, or an address as a range of one. A range of mapped
// addresses is the range of the IPv4 addresses.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, addrErr := netip.ParseAddr(s)
		if addrErr != nil || strings.Contains(s, "/") { // a zone may hold a slash
			return netip.Prefix{}, err
		}
		a = Canonical(a)
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	if p.Bits() < mappedBits {
		return netip.Prefix{}, errors.New("it holds more than the IPv4-mapped addresses; name the IPv4 and the IPv6 range apart")
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits).Masked(), nil
}

// Contains reports whether one of the ranges, in the form of [ParsePrefix], holds
// an address.
func Contains(ranges []netip.Prefix, a netip.Addr) bool {
	a = Canonical(a)
	for _, p := range ranges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Of returns a TCP address in netip's form, the zero one for any other.
func Of(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// ParseForwarded parses one element of X-Forwarded-For, as proxies write it: an
// address, possibly in quotes, in brackets, or with a port. The port is 0 where
// there is none. It reports false for anything else, as for "unknown" and the
// obfuscated names of RFC 7239 section 6.3.
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
