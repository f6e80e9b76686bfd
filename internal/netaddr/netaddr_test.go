// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package netaddr

import (
	"net"
	"net/netip"
	"testing"
)

func TestContains(t *testing.T) {
	for _, c := range []struct {
		prefix, addr string
		want         bool
	}{
		{"192.0.2.0/24", "192.0.2.7", true},
		{"192.0.2.0/24", "::ffff:192.0.2.7", true},
		{"192.0.2.0/24", "192.0.3.7", false},
		{"192.0.2.7", "::ffff:192.0.2.7", true},
		{"192.0.2.9/24", "192.0.2.7", true}, // bits after the prefix do not count
		{"::ffff:192.0.2.0/120", "192.0.2.7", true},
		{"::ffff:192.0.2.0/120", "::ffff:192.0.2.7", true},
		{"::ffff:192.0.2.0/120", "192.0.3.7", false},
		{"::ffff:192.0.2.7", "192.0.2.7", true},
		{"::ffff:0:0/96", "192.0.2.7", true},
		{"::ffff:0:0/96", "2001:db8::1", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"fe80::1", "fe80::1%7", true},
		{"fe80::1%eth0", "fe80::1%eth1", true},
		{"0.0.0.0/0", "::ffff:192.0.2.7", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "192.0.2.7", false},
	} {
		p, err := ParsePrefix(c.prefix)
		if err != nil {
			t.Errorf("%s: %v", c.prefix, err)
			continue
		}
		if got := Contains([]netip.Prefix{p}, netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s in %s: %v, want %v", c.addr, c.prefix, got, c.want)
		}
	}
}

func TestParsePrefixRefuses(t *testing.T) {
	for _, s := range []string{"", "x", "192.0.2.0/33", "::ffff:192.0.2.0/24", "192.0.2", "fe80::%eth0/10", "192.0.2.0/-1", "192.0.2.0/024"} {
		if p, err := ParsePrefix(s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
}

func TestParseForwarded(t *testing.T) {
	for s, want := range map[string]string{
		"192.0.2.7":                      "192.0.2.7:0",
		" 192.0.2.7\t":                   "192.0.2.7:0",
		"192.0.2.7:4711":                 "192.0.2.7:4711",
		`"192.0.2.7"`:                    "192.0.2.7:0",
		`"192.0.2.7:4711"`:               "192.0.2.7:4711",
		"2001:db8::7":                    "[2001:db8::7]:0",
		"[2001:db8::7]":                  "[2001:db8::7]:0",
		"[2001:db8::7]:4711":             "[2001:db8::7]:4711",
		`"[2001:db8::7]:4711"`:           "[2001:db8::7]:4711",
		"::ffff:192.0.2.7":               "192.0.2.7:0",
		"[::ffff:192.0.2.7]:4711":        "192.0.2.7:4711",
		"fe80::1%eth0":                   "[fe80::1%eth0]:0",
		"[fe80::1%eth0]":                 "[fe80::1%eth0]:0",
		"[fe80::1%eth0]:4711":            "[fe80::1%eth0]:4711",
		"":                               "",
		"unknown":                        "",
		"_hidden":                        "",
		"_gazonk:4711":                   "",
		"192.0.2.7:":                     "",
		"192.0.2.7:99999":                "",
		"192.0.2.7:x":                    "",
		"[192.0.2.7]":                    "",
		"192.0.2":                        "",
		"[2001:db8::7":                   "",
		"192.0.2.7 192.0.2.8":            "",
		`"`:                              "",
		"for=192.0.2.7":                  "",
		"example.com":                    "",
		"2001:db8::7:4711:1:1:1:1:1:1:1": "",
	} {
		got, ok := ParseForwarded(s)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v %v, want %q", s, got, ok, want)
		}
	}
}

func TestOf(t *testing.T) {
	if got := Of(&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7"), Port: 1}).String(); got != "192.0.2.7:1" {
		t.Errorf("%s", got)
	}
	if got := Of(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("%s", got)
	}
}

func TestSource(t *testing.T) {
	for a, want := range map[string]string{"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8::1:2:3:4": "2001:db8::", "fe80::1%eth0": "fe80::"} {
		if got := Source(netip.MustParseAddr(a)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
	if Source(netip.Addr{}).IsValid() {
		t.Error("no address has a source")
	}
}
