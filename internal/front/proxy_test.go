// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"net/netip"
	"strings"
	"testing"
)

var (
	loopback     = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	otherNetwork = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
)

// v2 is a version 2 header of the PROXY protocol, of a TCP connection over IPv4 from
// 192.0.2.7:4711 to 192.0.2.1:443.
const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x12\x67\x01\xbb"

// v2Mapped is the header of a connection between the same addresses, mapped into IPv6.
const v2Mapped = "\r\n\r\n\x00\r\nQUIT\n\x21" + "\x21\x00\x24" + mapped + "\xc0\x00\x02\x07" + mapped + "\xc0\x00\x02\x01" + "\x12\x67\x01\xbb"

const mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"

func TestProxies(t *testing.T) {
	const v1 = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		before  string // sent first
		changes []string
		want    string // client address; "" for loopback
	}{
		{"no header", loopback, "", nil, ""},
		{"version 1", loopback, v1, nil, "192.0.2.7:4711"},
		{"version 2", loopback, v2, nil, "192.0.2.7:4711"},
		{"version 1, UNKNOWN", loopback, "PROXY UNKNOWN\r\n", nil, ""},
		{"spoofed version 1", otherNetwork, v1, nil, ""},
		{"spoofed version 2", otherNetwork, v2, nil, ""},
		{"forwarded", loopback, "", []string{"X-Forwarded-For", "192.0.2.7"}, "192.0.2.7:0"},
		{"forwarded by several", loopback, "", []string{"X-Forwarded-For", "6.6.6.6, 192.0.2.7, 127.0.0.9"}, "192.0.2.7:0"},
		{"forwarded with a port", loopback, "", []string{"X-Forwarded-For", "192.0.2.7:4711"}, "192.0.2.7:4711"},
		{"forwarded in quotes", loopback, "", []string{"X-Forwarded-For", "6.6.6.6 ,\t\"192.0.2.7\""}, "192.0.2.7:0"},
		{"forwarded of IPv6", loopback, "", []string{"X-Forwarded-For", "[2001:db8::7]:4711, ::ffff:127.0.0.9, [127.0.0.8]:1"}, ""},
		{"forwarded of IPv6 by a mapped one", loopback, "", []string{"X-Forwarded-For", "[2001:db8::7]:4711, ::ffff:127.0.0.9"}, "[2001:db8::7]:4711"},
		{"forwarded with a zone", loopback, "", []string{"X-Forwarded-For", "fe80::7%eth0"}, "[fe80::7%eth0]:0"},
		{"forwarded over several lines", loopback, "", []string{"X-Forwarded-For", "6.6.6.6\r\nx-forwarded-for: 192.0.2.7:1,,\r\nX-FORWARDED-FOR: 127.0.0.9:2"}, "192.0.2.7:1"},
		{"forwarded by unknown", loopback, "", []string{"X-Forwarded-For", "192.0.2.7, unknown"}, ""},
		{"forwarded by an obfuscated name", loopback, "", []string{"X-Forwarded-For", "192.0.2.7, _proxy:1, 127.0.0.9"}, "127.0.0.9:0"},
		{"nothing forwarded", loopback, "", []string{"X-Forwarded-For", " , "}, ""},
		{"version 1 of a mapped address", loopback, "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 4711 443\r\n", nil, "192.0.2.7:4711"},
		{"version 2 of a mapped address", loopback, v2Mapped, nil, "192.0.2.7:4711"},
		{"forwarded, and a PROXY header of a proxy", append(loopback, netip.MustParsePrefix("192.0.2.0/24")), v2Mapped, []string{"X-Forwarded-For", "198.51.100.1:9"}, "198.51.100.1:9"},
		{"forwarded garbage", loopback, "", []string{"X-Forwarded-For", "192.0.2.7, me"}, ""},
		{"spoofed forwarding", otherNetwork, "", []string{"X-Forwarded-For", "192.0.2.7"}, ""},
		{"no trusted proxies", nil, "", []string{"X-Forwarded-For", "192.0.2.7"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestFront(t, false, func(cfg *Config) { cfg.Proxies = c.trusted })
			h.send(c.before + upgradeWith(c.changes...))
			r := <-h.registered
			if got := r.Remote.String(); got != c.want && (c.want != "" || !strings.HasPrefix(got, "127.0.0.1:")) {
				t.Errorf("from %s, want %s", got, c.want)
			}
		})
	}
}

func TestMalformedProxyHeader(t *testing.T) {
	for name, header := range map[string]string{
		"version 1": "PROXY TCP4 nobody knows\r\n",
		"version 2": v2[:13] + "\xff" + v2[14:],
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestFront(t, false, func(cfg *Config) { cfg.Proxies = loopback })
			c := h.send(header + upgradeWith())
			if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("%d bytes, %v; want the end", n, err)
			}
		})
	}
}

func TestAllowFrom(t *testing.T) {
	h := newTestFront(t, false, func(cfg *Config) { cfg.AllowFrom = otherNetwork })
	if resp, body := h.request(upgradeWith()); resp.StatusCode != 403 || !strings.Contains(body, `"forbidden"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	h = newTestFront(t, false, func(cfg *Config) { cfg.AllowFrom = append(otherNetwork, loopback...) })
	h.admit()
	h = newTestFront(t, false, func(cfg *Config) {
		cfg.AllowFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}
		cfg.Proxies = loopback
	})
	for from, want := range map[string]int{
		"192.0.2.7:4711": 101, "::ffff:192.0.2.7": 101, "[::ffff:192.0.2.7]:1": 101, "fe80::1%eth0": 101, "[fe80::1%25]:1": 101,
		"192.0.3.7": 403, "2001:db8::1": 403, "unknown": 403,
	} {
		if want == 101 {
			r, _ := h.admit("X-Forwarded-For", from)
			r.Closed()
		} else if resp, _ := h.request(upgradeWith("X-Forwarded-For", from)); resp.StatusCode != want {
			t.Errorf("from %s: %d, want %d", from, resp.StatusCode, want)
		}
	}
}

// A full quota refuses the upgrade. A released connection frees the quota.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
	}{
		{"of a gateway", Limits{Total: 10, Gateway: 1}},
		{"of an organization", Limits{Total: 10, Org: 1}},
		{"of the node", Limits{Total: 1, Gateway: 5, Org: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestFront(t, false, func(cfg *Config) { cfg.Limits = c.limits })
			first, _ := h.admit()
			for range 2 { // a refusal does not count
				resp, body := h.request(upgradeWith())
				if resp.StatusCode != 503 || !strings.Contains(body, `"capacity_exceeded"`) || resp.Header.Get("Retry-After") == "" {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			}
			first.Closed()
			h.admit()
		})
	}
}
