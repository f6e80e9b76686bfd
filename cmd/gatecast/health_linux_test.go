// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/node"
)

// The health check finds the node by serve's own settings.
func TestHealthFollowsSettings(t *testing.T) {
	cert, key := selfSignedPair(t)
	clear := newOperator(t)
	secure := newOperatorOf(t, func(c *node.Config) { c.InternalTLSCert, c.InternalTLSKey = cert, key })
	every := newOperatorOf(t, func(c *node.Config) { c.InternalListen = ":0" })
	port := func(o *operator) string {
		return strconv.Itoa(o.node.InternalAddr().(*net.TCPAddr).Port)
	}
	at := "127.0.0.1:" + port(clear)
	file := writeFile(t, "c.yaml", "internal-listen: 127.0.0.1:"+port(secure)+"\ninternal-tls-cert: "+cert+"\ninternal-tls-key: "+key+"\nmax-connections: 5\n")
	unready := newStartingNode(t, slices.Repeat([]int{503}, 100)...)
	const listen, url, config = "GATECAST_INTERNAL_LISTEN", "GATECAST_INTERNAL_URL", "GATECAST_CONFIG"
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		code int
	}{
		{"environment", map[string]string{listen: at}, nil, 0},
		{"flag", nil, []string{"--internal-listen", at}, 0},
		{"a name", map[string]string{listen: "localhost:" + port(clear)}, nil, 0},
		{"every address", map[string]string{listen: ":" + port(every)}, nil, 0},
		{"every IPv4 address", map[string]string{listen: "0.0.0.0:" + port(every)}, nil, 0},
		{"every IPv6 address", map[string]string{listen: "[::]:" + port(every)}, nil, 0},
		{"every address, where only IPv4 listens", map[string]string{listen: "[::]:" + port(clear)}, nil, 0},
		{"TLS", map[string]string{listen: "127.0.0.1:" + port(secure), "GATECAST_INTERNAL_TLS_CERT": cert, "GATECAST_INTERNAL_TLS_KEY": key}, nil, 0},
		{"TLS on every address", map[string]string{listen: ":" + port(secure), "GATECAST_INTERNAL_TLS_CERT": cert, "GATECAST_INTERNAL_TLS_KEY": key}, nil, 0},
		{"TLS by flags", nil, []string{"--internal-listen", "127.0.0.1:" + port(secure), "--internal-tls-cert", cert, "--internal-tls-key", key}, 0},
		{"TLS without saying so", map[string]string{listen: "127.0.0.1:" + port(secure)}, nil, 1},
		{"file", nil, []string{"--config", file}, 0},
		{"file by the environment", map[string]string{config: file}, nil, 0},
		{"the environment comes before the file", map[string]string{config: file, listen: "127.0.0.1:1"}, nil, 1},
		{"the flag comes before the environment", map[string]string{listen: "127.0.0.1:1"}, []string{"--internal-listen", at}, 0},
		{"the URL comes before the address", map[string]string{listen: "127.0.0.1:1", url: "http://" + at}, nil, 0},
		{"a flag comes before the URL in the environment", map[string]string{url: "http://127.0.0.1:1"}, []string{"--internal-listen", at}, 0},
		{"empty variables", map[string]string{listen: at, url: "", config: "", "GATECAST_INTERNAL_TLS_CERT": ""}, nil, 0},
		{"a proxy for others", map[string]string{listen: at, "HTTP_PROXY": "http://127.0.0.1:1"}, nil, 0},
		{"not ready", map[string]string{listen: unready.Listener.Addr().String()}, nil, 1},
		{"nobody there", map[string]string{listen: "127.0.0.1:1"}, nil, 1},
		{"a port of the system's choice", map[string]string{listen: "127.0.0.1:0"}, nil, 2},
		{"no address", map[string]string{listen: "nowhere"}, nil, 2},
		{"two places", nil, []string{"--internal-listen", at, "--internal-url", "http://" + at}, 2},
		{"an unknown key", nil, []string{"--config", writeFile(t, "c.yaml", "internal-lisen: x\n")}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(url, "")
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			code, _, errs := gatecast("", append([]string{"health"}, tt.args...)...)
			if code != tt.code || code != 0 && strings.Count(errs, "\n") != 1 {
				t.Errorf("exit %d, want %d: %s", code, tt.code, errs)
			}
		})
	}
}
