// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/certs"
)

// get does a handshake with an address, and a request that is answered.
func get(t *testing.T, addr string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c.InsecureSkipVerify = true
	nc, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", addr, c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(nc, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return tls.ConnectionState{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return nc.ConnectionState(), err
}

// Both listeners accept the documented versions, suites and curves, and no others.
func TestTLSDefaults(t *testing.T) {
	cfg := config(t)
	cert, key, err := certs.EnsureSelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg.InternalTLSCert, cfg.InternalTLSKey = cert, key
	n := start(t, cfg)
	for name, addr := range map[string]string{"gateways": n.GatewayAddr().String(), "internal": n.InternalAddr().String()} {
		t.Run(name, func(t *testing.T) {
			accepts(t, addr)
			rejects(t, addr)
		})
	}
	t.Run("no session of a gateway is resumed", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cache := tls.NewLRUClientSessionCache(4)
			for range 2 {
				state, err := get(t, n.GatewayAddr().String(), &tls.Config{MaxVersion: version, ClientSessionCache: cache, ServerName: "localhost"})
				if err != nil || state.DidResume {
					t.Errorf("%s: resumed %v, %v", tls.VersionName(version), state.DidResume, err)
				}
			}
		}
	})
}

// suites are the TLS 1.2 suites that a server with a certificate accepts: those with
// forward secrecy and authenticated encryption.
var suites = new(certs.KeyPair).ServerConfig().CipherSuites

func accepts(t *testing.T, addr string) {
	for _, id := range suites {
		if tls.CipherSuiteName(id)[len("TLS_ECDHE_"):][:3] == "RSA" {
			continue // the certificate is ECDSA
		}
		state, err := get(t, addr, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}})
		if err != nil || state.CipherSuite != id {
			t.Errorf("%s: %v", tls.CipherSuiteName(id), err)
		}
	}
	for _, id := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384} {
		state, err := get(t, addr, &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{id}})
		if err != nil || state.CurveID != id {
			t.Errorf("%v: %v", id, err)
		}
	}
	state, err := get(t, addr, &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("%s %v %q: %v", tls.VersionName(state.Version), state.CurveID, state.NegotiatedProtocol, err)
	}
}

func rejects(t *testing.T, addr string) {
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, err := get(t, addr, &tls.Config{MinVersion: version, MaxVersion: version}); err == nil {
			t.Errorf("%s is accepted", tls.VersionName(version))
		}
	}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.Contains(suites, suite.ID) || !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		if _, err := get(t, addr, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}}); err == nil {
			t.Errorf("%s is accepted", suite.Name)
		}
	}
	if _, err := get(t, addr, &tls.Config{NextProtos: []string{"h2"}}); err == nil {
		t.Error("HTTP/2 is accepted")
	}
}
