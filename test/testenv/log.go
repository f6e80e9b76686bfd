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

// A Log keeps what is logged under a test, and fails the test at its end for each
// secret that is in it, in one of the forms that programs write secrets in. The
// tokens that gatecast makes, and keys in PEM, need not be told to it. Goroutines
// may share it.
type Log struct {
	mu       sync.Mutex
	text     []byte
	files    []string
	forms    map[string]string // what each is
	problems []string
}

const (
	// minSecret is what a secret must have to be told from the words of a log.
	minSecret = 6
	maxLeaks  = 5 // that are shown
)

var alwaysSecret = regexp.MustCompile(`gc_[A-Za-z0-9_-]{43}|-----BEGIN [A-Z ]*PRIVATE KEY`)

// NewLog returns a Log that is looked through when what the test starts from now on
// has ended.
func NewLog(t testing.TB) *Log {
	l := &Log{forms: make(map[string]string)}
	t.Cleanup(func() {
		for _, leak := range l.leaks() {
			t.Errorf("a secret is logged: %s", leak)
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

// Logger returns a logger of every level to the log.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// File has a file be part of the log, as it is at the test's end.
func (l *Log) File(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, name)
}

// Hide says what must not be in the log. An empty secret is none.
func (l *Log) Hide(what, secret string) {
	if secret == "" {
		return
	}
	if len(secret) < minSecret {
		l.problem("%s of %d bytes is too short to be looked for; give it %d", what, len(secret), minSecret)
		return
	}
	text, _ := json.Marshal(secret)
	l.hide(what, secret, strings.Trim(string(text), `"`), url.QueryEscape(secret), url.PathEscape(secret), strings.TrimPrefix(url.UserPassword("", secret).String(), ":"),
		strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"))
	l.hideBytes(what, []byte(secret))
}

// HideTokens hides the tokens of a file of admin tokens.
func (l *Log) HideTokens(file string) {
	text, _ := os.ReadFile(file) // none is no token
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") || strings.HasPrefix(words[len(words)-1], "sha256:") {
			continue
		}
		l.Hide("an admin token", words[len(words)-1])
	}
}

// HidePEM hides the private keys of a PEM file.
func (l *Log) HidePEM(file string) {
	text, _ := os.ReadFile(file) // none is no key
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

// HideKey hides a private key.
func (l *Log) HideKey(key any) {
	const what = "a private key"
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		l.problem("a key cannot be hidden: %v", err)
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
			l.hide(what, new(big.Int).SetBytes(scalar).String()) // as %v writes it
			l.hideBytes(what, scalar)
		}
	}
}

// KeyLog returns the [crypto/tls.Config.KeyLogWriter] of a client, which hides the
// secrets of its connections.
func (l *Log) KeyLog() io.Writer { return keyLog{l} }

type keyLog struct{ *Log }

func (k keyLog) Write(line []byte) (int, error) {
	words := strings.Fields(string(line))
	secret, err := hex.DecodeString(words[len(words)-1])
	if err != nil {
		k.problem("a key log's line cannot be read: %v", err)
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

// leaks returns the lines with secrets, which have words in their place.
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
