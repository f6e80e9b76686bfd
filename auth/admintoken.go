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
)

const (
	minAdminToken  = 16   // characters
	maxAdminToken  = 4096 // bytes of the file
	adminTokenMode = 0o600
)

// An AdminToken is what callers of the internal listener must present. It holds
// a digest only, so that it can be logged without harm. The zero AdminToken
// matches nothing.
type AdminToken struct{ digest [sha256.Size]byte }

// Matches reports whether presented is the token. It takes the same time for
// every wrong text of one length.
func (t AdminToken) Matches(presented string) bool {
	d := sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(d[:], t.digest[:]) == 1
}

// LoadAdminToken reads the admin token from a file, or makes one there; the
// folder must exist. Of several programs that make it at once, all return the
// same token.
func LoadAdminToken(path string) (tok AdminToken, created bool, err error) {
	text, err := ReadAdminToken(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = createAdminToken(path)
		created = err == nil
		if created || errors.Is(err, fs.ErrExist) {
			text, err = ReadAdminToken(path)
		}
	}
	if err != nil {
		return AdminToken{}, false, err
	}
	return AdminToken{sha256.Sum256([]byte(text))}, created, nil
}

// ReadAdminToken returns the admin token in a file, for programs that present
// it. The error of a file that is not there matches [fs.ErrNotExist].
func ReadAdminToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", adminTokenError(err)
	}
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("admin token: %s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("admin token: others than its owner may use %s (mode %04o); run chmod 600 on it, or delete it to have a new one made", path, info.Mode().Perm())
	case info.Size() > maxAdminToken:
		return "", fmt.Errorf("admin token: %s has %d bytes; want one line of at least %d characters", path, info.Size(), minAdminToken)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", adminTokenError(err)
	}
	return parseAdminToken(path, string(b))
}

// parseAdminToken returns the token in a file's text: one line without spaces,
// as it must stand in a header.
func parseAdminToken(path, text string) (string, error) {
	token := strings.TrimSpace(text)
	switch {
	case token == "":
		return "", fmt.Errorf("admin token: %s is empty; delete it to have a new one made, or write one line of at least %d characters to it", path, minAdminToken)
	case len(token) < minAdminToken:
		return "", fmt.Errorf("admin token: the one in %s has %d characters; want at least %d", path, len(token), minAdminToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("admin token: the one in %s has characters that no header can carry; want one line of printable ASCII without spaces", path)
	}
	return token, nil
}

// createAdminToken makes the file. It is there whole or not at all; the error
// matches [fs.ErrExist] when it is there already.
func createAdminToken(path string) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".admin-token-*") // with mode 0600
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("admin token: there is no folder %s to make it in", dir)
	}
	if err != nil {
		return adminTokenError(err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // if it stays, it is a stray name of the same file
	_, err = f.WriteString(randomText() + "\n")
	err = errors.Join(err, f.Chmod(adminTokenMode), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // unlike a rename, it replaces nothing
	}
	if err != nil {
		return adminTokenError(err)
	}
	return syncDir(dir)
}

// syncDir sees to it that a new file's name survives a crash.
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
