// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A Log collects what is logged during a test. At the end it fails the test for each secret in the
// log, in any form in which programs write secrets. Tokens made by gatecast and PEM keys are always
// secret; others are added with the Hide methods. Goroutines can share it.
type Log struct {
	mu       sync.Mutex
	text     []byte
	files    []string
	forms    map[string]string // name of each secret, by the forms to look for
	problems []string
}

const (
	// minSecret is the length below which a secret could be part of an ordinary word.
	minSecret = 6
	maxLeaks  = 5 // number of leaks in a report
)

var alwaysSecret = regexp.MustCompile(`gc_[A-Za-z0-9_-]{43}|-----BEGIN [A-Z ]*PRIVATE KEY`)

// NewLog returns a Log that is checked at the end of the test, after the cleanups registered later.
func NewLog(t testing.TB) *Log {
	l := &Log{forms: make(map[string]string)}
	t.Cleanup(func() {
		for _, leak := range l.leaks() {
			t.Errorf("the log contains a secret: %s", leak)
		}
	})
	return l
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Logger returns a logger of all levels to the log.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// File makes a file part of the log, with its content at the end of the test.
func (l *Log) File(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, name)
}

// Hide adds a secret that must not be in the log. An empty secret is ignored.
func (l *Log) Hide(what, secret string) {
	if secret == "" {
		return
	}
	if len(secret) < minSecret {
		l.problem("%s of %d bytes is too short to look for: want at least %d", what, len(secret), minSecret)
		return
	}
	text, _ := json.Marshal(secret)
	l.hide(what, secret, strings.Trim(string(text), `"`), url.QueryEscape(secret), url.PathEscape(secret), strings.TrimPrefix(url.UserPassword("", secret).String(), ":"),
		strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"))
	l.hideBytes(what, []byte(secret))
}

// HideTokens adds the tokens of an admin token file.
func (l *Log) HideTokens(file string) {
	text, _ := os.ReadFile(file) // a missing file has no tokens
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") || strings.HasPrefix(words[len(words)-1], "sha256:") {
			continue
		}
		l.Hide("an admin token", words[len(words)-1])
	}
}

// HidePEM adds the private keys of a PEM file.
func (l *Log) HidePEM(file string) {
	text, _ := os.ReadFile(file) // a missing file has no keys
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return
		}
		if key, err := x509.ParsePKCS8PrivateKey(b.Bytes); err == nil {
			l.HideKey(key)
		} else if key, err := x509.ParseECPrivateKey(b.Bytes); err == nil {
			l.HideKey(key)
		}
	}
}

// HideKey adds a private key.
func (l *Log) HideKey(key any) {
	const what = "a private key"
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		l.problem("cannot encode a key: %v", err)
		return
	}
	l.hideBytes(what, der)
	for line := range strings.Lines(string(pem.EncodeToMemory(&pem.Block{Bytes: der}))) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-") {
			l.hide(what, line)
		}
	}
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		if scalar, err := ec.Bytes(); err == nil {
			l.hide(what, new(big.Int).SetBytes(scalar).String()) // the form of %v
			l.hideBytes(what, scalar)
		}
	}
}

// KeyLog returns a KeyLogWriter for the [crypto/tls.Config] of a client. It adds the secrets of the
// client's connections.
func (l *Log) KeyLog() io.Writer { return keyLog{l} }

type keyLog struct{ *Log }

func (k keyLog) Write(line []byte) (int, error) {
	words := strings.Fields(string(line))
	secret, err := hex.DecodeString(words[len(words)-1])
	if err != nil {
		k.problem("cannot parse a line of the key log: %v", err)
	}
	k.hideBytes("TLS's "+words[0], secret)
	return len(line), nil
}

func (l *Log) hideBytes(what string, secret []byte) {
	h := hex.EncodeToString(secret)
	l.hide(what, h, strings.ToUpper(h), base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret))
}

func (l *Log) hide(what string, forms ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, form := range forms {
		l.forms[form] = what
	}
}

func (l *Log) problem(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// leaks returns the lines with secrets, and the name of each secret in its place.
func (l *Log) leaks() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := string(l.text)
	leaks := l.problems
	for _, name := range l.files {
		b, err := os.ReadFile(name)
		if err != nil {
			leaks = append(leaks, err.Error())
		}
		text += "\n" + string(b)
	}
	var pairs []string
	for form, what := range l.forms {
		pairs = append(pairs, form, "<"+what+">")
	}
	words := strings.NewReplacer(pairs...)
	for line := range strings.Lines(text) {
		shown := alwaysSecret.ReplaceAllString(words.Replace(line), "<a token or a key>")
		if shown == line {
			continue
		}
		if leaks = append(leaks, strings.TrimSpace(shown)); len(leaks) == maxLeaks {
			break
		}
	}
	return leaks
}
