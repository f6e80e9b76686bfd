// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/secretfile"
	"github.com/gatecast/gatecast/internal/strict"
)

const (
	minAdminToken  = 16       // characters
	maxAdminFile   = 64 << 10 // bytes
	adminTokenMode = 0o600
)

// A Scope is a set of rights of an admin token, as bits.
type Scope uint8

// The scopes of admin tokens. ScopeAdmin includes all others.
const (
	ScopePublish Scope = 1 << iota
	ScopeRead
	ScopeAdmin
)

var scopeNames = map[string]Scope{"publish": ScopePublish, "read": ScopeRead, "admin": ScopePublish | ScopeRead | ScopeAdmin}

// String returns the name of the widest scope in s.
func (s Scope) String() string {
	for _, name := range []string{"publish", "read"} {
		if s == scopeNames[name] {
			return name
		}
	}
	return "admin"
}

// An Admin is a caller of the internal listener.
type Admin struct {
	Name   string
	scopes Scope
}

// NewAdmin returns an admin with scopes.
func NewAdmin(name string, scopes Scope) Admin { return Admin{name, scopes} }

// HasScope reports whether the admin has a scope.
func (a Admin) HasScope(s Scope) bool { return a.scopes&(s|ScopeAdmin) != 0 }

// AdminTokens are the tokens that the internal listener accepts. They have digests only,
// so logging them reveals nothing. They are immutable, so goroutines can share them. The
// zero AdminTokens accept nothing.
type AdminTokens struct{ tokens []adminToken }

type adminToken struct {
	admin  Admin
	digest digest
}

// Identify returns the admin with a token. It takes the same time for every wrong token of
// one length.
func (t AdminTokens) Identify(presented []byte) (found Admin, ok bool) {
	d := sha256.Sum256(presented)
	for _, a := range t.tokens {
		if subtle.ConstantTimeCompare(d[:], a.digest[:]) == 1 {
			found, ok = a.admin, true
		}
	}
	return found, ok
}

// LoadAdminTokens reads the admin tokens in a file. If the file does not exist, it creates
// it with a new token. The folder must exist. Programs that create the file at the same
// time all return the same token.
func LoadAdminTokens(path string) (tokens AdminTokens, created bool, err error) {
	tokens, err = ReadAdminTokens(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = createAdminToken(path)
		created = err == nil
		if created || errors.Is(err, fs.ErrExist) {
			tokens, err = ReadAdminTokens(path)
		}
	}
	return tokens, created, err
}

// ReadAdminTokens reads the admin tokens in a file. Without the file the error matches
// [fs.ErrNotExist].
func ReadAdminTokens(path string) (tokens AdminTokens, err error) {
	lines, err := readAdminFile(path)
	for _, l := range lines {
		tokens.tokens = append(tokens.tokens, adminToken{l.admin, l.digest})
	}
	return tokens, err
}

// ReadAdminToken returns the first admin token in a file that is not a digest, for programs
// that send it. Without the file the error matches [fs.ErrNotExist].
func ReadAdminToken(path string) (string, error) {
	lines, err := readAdminFile(path)
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		if l.text != "" {
			return l.text, nil
		}
	}
	return "", fmt.Errorf("admin token: %s has only digests; want a file with the token itself", path)
}

// An adminLine is one token of a file. text is empty when the file has only the digest.
type adminLine struct {
	admin  Admin
	text   string
	digest digest
}

// readAdminFile reads a file with at least one admin token.
func readAdminFile(path string) ([]adminLine, error) {
	b, err := secretfile.Read(path, maxAdminFile)
	if err != nil {
		return nil, adminTokenError(err)
	}
	var lines []adminLine
	if b, err = strict.Unmark(b); err == nil {
		lines, err = parseAdminFile(string(b))
	}
	if err != nil {
		return nil, fmt.Errorf("admin token: %s: %w", path, err)
	}
	return lines, nil
}

// parseAdminFile parses the lines of a file of admin tokens: TOKEN alone, for an admin
// with all scopes, or NAME SCOPE[,SCOPE] TOKEN. The token can be sha256:DIGEST. Blank
// lines, and lines that start with #, are ignored. No error contains a token.
func parseAdminFile(text string) (lines []adminLine, err error) {
	number := 0
	for raw := range strings.Lines(text) {
		number++
		fields := strings.Fields(raw)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		l, err := parseAdminLine(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, other := range lines {
			if other.admin.Name == l.admin.Name || other.digest == l.digest {
				return nil, fmt.Errorf("line %d: the name or the token is a duplicate", number)
			}
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("has no token; delete the file to get a new one, or write a token of at least %d characters to it", minAdminToken)
	}
	return lines, nil
}

// parseAdminLine parses the fields of one line.
func parseAdminLine(fields []string) (l adminLine, err error) {
	l.admin = NewAdmin("admin", scopeNames["admin"])
	switch len(fields) {
	case 1:
	case 3:
		if !event.ValidName(fields[0]) {
			return l, fmt.Errorf("the name: want 1 to %d of letters, digits, _ and -", event.MaxNameLen)
		}
		scopes, err := parseScopes(fields[1])
		if err != nil {
			return l, err
		}
		l.admin = NewAdmin(fields[0], scopes)
	default:
		return l, errors.New("want TOKEN, or NAME SCOPE[,SCOPE] TOKEN")
	}
	token := fields[len(fields)-1]
	if hexDigest, ok := strings.CutPrefix(token, "sha256:"); ok {
		return l, l.digest.UnmarshalText([]byte(hexDigest))
	}
	switch {
	case len(token) < minAdminToken:
		return l, fmt.Errorf("the token has %d characters; want at least %d", len(token), minAdminToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return l, errors.New("the token has characters that a header cannot contain; want printable ASCII without spaces")
	}
	l.text, l.digest = token, sha256.Sum256([]byte(token))
	return l, nil
}

// parseScopes parses SCOPE[,SCOPE].
func parseScopes(text string) (scopes Scope, err error) {
	for name := range strings.SplitSeq(text, ",") {
		s, ok := scopeNames[name]
		if !ok {
			return 0, fmt.Errorf("%q is not a scope; want publish, read or admin, separated by commas", name)
		}
		scopes |= s
	}
	return scopes, nil
}

// createAdminToken creates the file atomically. The error matches [fs.ErrExist] when it
// exists.
func createAdminToken(path string) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".admin-token-*") // with mode 0600
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("admin token: the folder %s does not exist", dir)
	}
	if err != nil {
		return adminTokenError(err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // if that fails, the file has a second name
	_, err = f.WriteString(randomText() + "\n")
	err = errors.Join(err, f.Chmod(adminTokenMode), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // unlike a rename, it does not replace a file
	}
	if err != nil {
		return adminTokenError(err)
	}
	return syncDir(dir)
}

// syncDir makes the name of a new file survive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return adminTokenError(err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return adminTokenError(err)
	}
	return nil
}

func adminTokenError(err error) error { return fmt.Errorf("admin token: %w", err) }
