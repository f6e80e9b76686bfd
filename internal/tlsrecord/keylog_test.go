// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"crypto/fips140"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
)

const clientRandom = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func logLine(label string, secret []byte) string {
	return fmt.Sprintf("%s %s %x\n", label, clientRandom, secret)
}

// filled returns a log with the secrets of newEnds(i), and the state that goes
// with it.
func filled(t *testing.T, i int) (*KeyLog, tls.ConnectionState) {
	t.Helper()
	k, s := new(KeyLog), suites[i]
	for label, seed := range map[string]byte{"CLIENT_TRAFFIC_SECRET_0": 0x11, "SERVER_TRAFFIC_SECRET_0": 0xa3} {
		line := logLine(label, testSecret(s.hash().Size(), seed))
		if n, err := k.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	return k, tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, CipherSuite: s.id}
}

func TestKeyLogMakesTheSession(t *testing.T) {
	for i, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			k, state := filled(t, i)
			for _, foreign := range []string{
				logLine("CLIENT_RANDOM", testSecret(48, 1)),
				logLine("CLIENT_HANDSHAKE_TRAFFIC_SECRET", testSecret(48, 2)),
				logLine("SERVER_HANDSHAKE_TRAFFIC_SECRET", testSecret(48, 3)),
				logLine("EXPORTER_SECRET", testSecret(64, 4)),
				logLine("CLIENT_TRAFFIC_SECRET_1", testSecret(48, 5)),
				"ECH_SECRET " + clientRandom + " no-hex\n",
			} {
				if n, err := k.Write([]byte(foreign)); n != len(foreign) || err != nil {
					t.Errorf("Write(%q) = %d, %v", foreign, n, err)
				}
			}
			e := newEnds(i)
			var err error
			if e.Session, err = k.Session(state); err != nil {
				t.Fatal(err)
			}
			e.hears(t, e.data("there"), "there", nil)
			e.reads(t, e.seals(t, "and back"), 23, "and back")
			wiped(t, k)
		})
	}
}

// wiped makes sure that a log has forgotten.
func wiped(t *testing.T, k *KeyLog) {
	t.Helper()
	if bytes.ContainsFunc(memory(k), func(r rune) bool { return r != 0 }) {
		t.Errorf("the log still has %x", memory(k))
	}
}

func TestKeyLogRefuses(t *testing.T) {
	secret := hex.EncodeToString(testSecret(32, 1))
	for name, line := range map[string]string{
		"nothing":           "",
		"an empty line":     "\n",
		"a label alone":     "CLIENT_TRAFFIC_SECRET_0\n",
		"no secret":         "CLIENT_TRAFFIC_SECRET_0 " + clientRandom + "\n",
		"a word too many":   "CLIENT_TRAFFIC_SECRET_0 " + clientRandom + " " + secret + " x\n",
		"a secret too long": logLine("CLIENT_TRAFFIC_SECRET_0", testSecret(49, 1)),
		"half a byte":       "SERVER_TRAFFIC_SECRET_0 " + clientRandom + " " + secret + "a\n",
		"no hex":            "SERVER_TRAFFIC_SECRET_0 " + clientRandom + " " + secret[2:] + "zz\n",
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := filled(t, 0)
			if n, err := k.Write([]byte(line)); n != 0 || err != errKeyLog {
				t.Errorf("Write = %d, %v; want 0, %v, which quotes nothing of the line", n, err, errKeyLog)
			}
		})
	}
}

// What a session does not know it does not take over; the secrets are forgotten
// all the same.
func TestSessionRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*KeyLog, *tls.ConnectionState)
	}{
		{"TLS 1.2", func(_ *KeyLog, c *tls.ConnectionState) {
			c.Version, c.CipherSuite = tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
		}},
		{"TLS 1.2 with a suite of TLS 1.3", func(_ *KeyLog, c *tls.ConnectionState) { c.Version = tls.VersionTLS12 }},
		{"a version to come", func(_ *KeyLog, c *tls.ConnectionState) { c.Version++ }},
		{"ChaCha20", func(_ *KeyLog, c *tls.ConnectionState) { c.CipherSuite = tls.TLS_CHACHA20_POLY1305_SHA256 }},
		{"no suite", func(_ *KeyLog, c *tls.ConnectionState) { c.CipherSuite = 0 }},
		{"a handshake under way", func(_ *KeyLog, c *tls.ConnectionState) { c.HandshakeComplete = false }},
		{"no secrets", func(k *KeyLog, _ *tls.ConnectionState) { k.Wipe() }},
		{"no secret of the client", func(k *KeyLog, _ *tls.ConnectionState) { k.clientLen = 0 }},
		{"no secret of the server", func(k *KeyLog, _ *tls.ConnectionState) { k.serverLen = 0 }},
		{"another suite's secrets", func(_ *KeyLog, c *tls.ConnectionState) { c.CipherSuite = tls.TLS_AES_256_GCM_SHA384 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, state := filled(t, 0)
			tc.change(k, &state)
			if s, err := k.Session(state); s != nil || err != ErrUnsupported {
				t.Errorf("Session = %v, %v; want ErrUnsupported", s, err)
			}
			wiped(t, k)
		})
	}
}

// In FIPS 140-3 mode, which a process has from its start on, crypto/tls keeps
// every connection.
func TestFIPSStaysWithCryptoTLS(t *testing.T) {
	if !fips140.Enabled() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPSStaysWithCryptoTLS$", "-test.v")
		cmd.Env = append(slices.Clone(os.Environ()), "GODEBUG=fips140=on")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("refused in FIPS mode")) {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	k, state := filled(t, 0)
	if _, err := k.Session(state); err != ErrUnsupported {
		t.Fatalf("Session = %v, want ErrUnsupported", err)
	}
	wiped(t, k)
	t.Log("refused in FIPS mode")
}
