// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A witness records the cleanups and errors of a test.
type witness struct {
	testing.TB
	ends   []func()
	errors []string
}

func (w *witness) Cleanup(f func()) { w.ends = append(w.ends, f) }
func (w *witness) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}

// failures returns the errors of a test that uses a Log.
func failures(t *testing.T, use func(*Log)) []string {
	w := &witness{TB: t}
	use(NewLog(w))
	for _, end := range w.ends {
		end()
	}
	return w.errors
}

const secret = `s3cr/et "wörd"+`

// Every form of a secret in the log fails the test, and the failure does not show the secret.
func TestLogShowsSecrets(t *testing.T) {
	cert := Certificate()
	key := cert.PrivateKey.(*ecdsa.PrivateKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	number := new(big.Int).SetBytes(scalar).String()
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	keyFile := write("key", string(keyPEM))
	tokens := write("tokens", "# for people\nops admin the-token-of-ops\nsha256:0123456789abcdef\nthe-token-of-root\n")
	const made = "gc_0123456789012345678901234567890123456789012"
	hidden := func(text string) func(*Log) {
		return func(l *Log) {
			l.Logger().Debug("before")
			l.Logger().Debug("message", "text", text)
			l.Hide("the word", secret)
			l.HideKey(cert.PrivateKey)
			l.HideTokens(tokens)
		}
	}
	for _, c := range []struct {
		name string
		use  func(*Log)
		want string // part of the failure; empty: the test does not fail
		not  string
	}{
		{"nothing", hidden("a line of a log; key sha256:0123456789abcdef"), "", ""},
		{"the secret", func(l *Log) { hidden("")(l); fmt.Fprintf(l, "it is %s, then\n", secret) }, "it is <the word>, then", secret},
		{"in JSON", hidden("it is " + secret), "<the word>", "s3cr"},
		{"in a URL's query", hidden("/?q=" + url.QueryEscape(secret)), "q=<the word>", "s3cr"},
		{"in a URL's path", hidden("/" + url.PathEscape(secret)), "/<the word>", "s3cr"},
		{"as a URL's password", hidden(url.UserPassword("u", secret).String() + "@host"), "u:<the word>@host", "s3cr"},
		{"as bytes", hidden(fmt.Sprintf("%d", []byte(secret))), "[<the word>]", "115 "},
		{"as %x", hidden(fmt.Sprintf("%x", secret)), "<the word>", "7333"},
		{"as %X", hidden(fmt.Sprintf("%X", secret)), "<the word>", "7333"},
		{"in base64", hidden(base64.StdEncoding.EncodeToString([]byte(secret))), "<the word>", "czNj"},
		{"in a file", func(l *Log) { hidden("")(l); l.File(write("log", "a line\nand "+secret)) }, "and <the word>", secret},
		{"a missing file", func(l *Log) { l.File(filepath.Join(dir, "none")) }, "no such file", ""},
		{"a line of a key's PEM", hidden(strings.Split(string(keyPEM), "\n")[2]), "<a private key>", ""},
		{"a key as %+v", hidden(fmt.Sprintf("%+v", key)), "<a private key>", number},
		{"a key of a file", func(l *Log) { l.HidePEM(keyFile); fmt.Fprintf(l, "%x", der) }, "<a private key>", ""},
		{"an admin token", hidden("the-token-of-ops"), "<an admin token>", "of-ops"},
		{"an admin token without a scope", hidden("the-token-of-root"), "<an admin token>", "of-root"},
		{"a token that was not added", hidden(made), "<a token or a key>", made},
		{"a key that was not added", func(l *Log) { l.Write(keyPEM) }, "<a token or a key>", ""},
		{"a TLS secret", func(l *Log) {
			line := handshake(t, cert, l)
			l.Logger().Debug("keys", "secret", line[len(line)-1])
		}, "<TLS's CLIENT_HANDSHAKE_TRAFFIC_SECRET>", ""},
		{"too short", func(l *Log) { l.Hide("a word", "x") }, "too short", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := failures(t, c.use)
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("fails with %q", got)
			case c.want == "":
			case len(got) != 1 || !strings.Contains(got[0], c.want) || c.not != "" && strings.Contains(got[0], c.not):
				t.Errorf("fails with %q, want one failure with %s", got, c.want)
			}
		})
	}
}

// handshake does a TLS handshake with l as the key log, and returns the fields of the first line.
func handshake(t *testing.T, cert tls.Certificate, l *Log) []string {
	t.Helper()
	var lines strings.Builder
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}).Handshake()
	if err := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: io.MultiWriter(l.KeyLog(), &lines)}).Handshake(); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(lines.String(), "\n")
	return strings.Fields(first)
}

// A test with many leaks shows the first ones.
func TestLogShowsSome(t *testing.T) {
	got := failures(t, func(l *Log) {
		l.Hide("the word", secret)
		l.Write([]byte(strings.Repeat(secret+"\n", 100)))
	})
	if len(got) != maxLeaks {
		t.Errorf("fails %d times, want %d", len(got), maxLeaks)
	}
}
