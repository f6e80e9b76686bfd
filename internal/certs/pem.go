// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Types of PEM blocks (RFC 7468, and OpenSSL's own).
const (
	typeCertificate  = "CERTIFICATE"
	typeEncryptedKey = "ENCRYPTED PRIVATE KEY"
	suffixKey        = "PRIVATE KEY"
)

// LoadPool returns the certificates of a PEM bundle. An empty bundle is an error.
// Blocks of other types, and text between blocks, are ignored.
func LoadPool(file string) (*x509.CertPool, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	chain, err := certificates(file, text)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range chain {
		pool.AddCert(c)
	}
	return pool, nil
}

// LoadPair returns a certificate with its chain and its private key. Both can be in the
// same file.
func LoadPair(certFile, keyFile string) (*tls.Certificate, error) {
	certText, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	chain, err := certificates(certFile, certText)
	if err != nil {
		return nil, err
	}
	keyText, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	if err := checkKey(keyFile, keyText); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, pairError(certFile, keyFile, len(chain), err)
	}
	return &pair, nil
}

// pairError explains why a certificate and a key that are both readable do not match.
func pairError(certFile, keyFile string, certificates int, err error) error {
	text := strings.TrimPrefix(err.Error(), "tls: ")
	if !strings.Contains(text, "does not match") {
		return fmt.Errorf("%s and %s: %s", certFile, keyFile, text)
	}
	text = fmt.Sprintf("the private key in %s does not match the certificate in %s", keyFile, certFile)
	if certificates > 1 {
		text += ", of which the first must be the server's own"
	}
	return errors.New(text)
}

// certificates parses every certificate of a PEM text.
func certificates(file string, text []byte) ([]*x509.Certificate, error) {
	blocks, err := split(file, text)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	var others []string
	for _, b := range blocks {
		if b.Type != typeCertificate {
			// OpenSSL's TRUSTED CERTIFICATE and similar types. Ignoring one would trust
			// fewer authorities than the file has.
			if strings.HasSuffix(b.Type, " "+typeCertificate) {
				return nil, fmt.Errorf("%s: certificate %d is a %s; convert it with openssl x509", file, len(list)+1, b.Type)
			}
			others = append(others, b.Type)
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d (line %d) cannot be read: %w", file, len(list)+1, b.line, err)
		}
		list = append(list, c)
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(others) > 0:
		return nil, fmt.Errorf("%s has no certificate in it, but %s", file, article(others[0]))
	}
	return nil, fmt.Errorf("%s has no certificate in PEM in it%s", file, formatHint(text))
}

// checkKey reports problems of a private key for which crypto/tls has no clear error:
// none in the file, encrypted, or in another format.
func checkKey(file string, text []byte) error {
	blocks, err := split(file, text)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(blocks, func(b block) bool { return strings.HasSuffix(b.Type, suffixKey) })
	switch {
	case i < 0 && len(blocks) > 0:
		return fmt.Errorf("%s has no private key in it, but %s", file, article(blocks[0].Type))
	case i < 0:
		return fmt.Errorf("%s has no private key in PEM in it%s", file, formatHint(text))
	}
	key := blocks[i]
	switch {
	case key.Type == typeEncryptedKey || strings.Contains(key.Headers["Proc-Type"], "ENCRYPTED"):
		return fmt.Errorf("%s: the private key is encrypted and a server cannot ask for its passphrase; decrypt it with openssl pkey -in %s -out FILE, and give FILE mode 0600", file, file)
	case key.Type == "OPENSSH PRIVATE KEY":
		return fmt.Errorf("%s: the private key is in OpenSSH's format; convert it with ssh-keygen -p -m PKCS8 -f %s", file, file)
	}
	return nil
}

func article(what string) string {
	if strings.HasPrefix(what, "E") || strings.HasPrefix(what, "O") || strings.HasPrefix(what, "RSA") || strings.HasPrefix(what, "X") {
		return "an " + what
	}
	return "a " + what
}

// formatHint guesses the format of a file without PEM blocks.
func formatHint(text []byte) string {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return ": it is empty"
	case text[0] == 0x30: // a DER sequence
		return "; it may be DER: convert it with openssl x509 -inform der, or openssl pkey -inform der"
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return "; it is UTF-16: save it as ASCII"
	}
	return ""
}

// A block is a PEM block and the number of its first line, from 1.
type block struct {
	*pem.Block
	line int
}

var (
	byteOrderMark = []byte("\xef\xbb\xbf")
	begin         = []byte("-----BEGIN")
)

// split returns the PEM blocks of a text. Every line that looks like the boundary of a
// block (RFC 7468, 2) must be one: encoding/pem silently skips blocks that it cannot
// decode.
func split(file string, text []byte) ([]block, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	var list []block
	certificates := 0 // including the current block
	for line := 1; len(text) > 0; {
		first, _, _ := bytes.Cut(text, []byte("\n"))
		if !isBoundary(first) {
			text, line = text[min(len(first)+1, len(text)):], line+1
			continue
		}
		b, rest := decodeFirst(text)
		if bytes.Contains(first, []byte(typeCertificate)) {
			certificates++
		}
		if b == nil {
			return nil, malformed(file, first, certificates, line)
		}
		list = append(list, block{b, line})
		line += bytes.Count(text[:len(text)-len(rest)], []byte("\n"))
		text = rest
	}
	return list, nil
}

// isBoundary reports whether a line looks like the first or the last line of a PEM
// block, even if it is indented or a dash is missing.
func isBoundary(line []byte) bool {
	s := strings.TrimSpace(string(line))
	trimmed := strings.Trim(s, "-")
	return (strings.HasPrefix(s, "--") || strings.HasSuffix(s, "--")) &&
		(strings.HasPrefix(trimmed, "BEGIN ") || strings.HasPrefix(trimmed, "END "))
}

// decodeFirst decodes the block at the beginning of a text. It returns nil if that block
// is malformed, even if a good one follows.
func decodeFirst(text []byte) (*pem.Block, []byte) {
	if !bytes.HasPrefix(text, begin) {
		return nil, nil
	}
	end := len(text)
	if next := bytes.Index(text[len(begin):], append([]byte("\n"), begin...)); next >= 0 {
		end = len(begin) + next + 1
	}
	b, rest := pem.Decode(text[:end])
	if b == nil {
		return nil, nil
	}
	return b, text[end-len(rest):]
}

func malformed(file string, first []byte, certificates, line int) error {
	switch s := string(first); {
	case strings.Contains(s, "END "):
		return fmt.Errorf("%s: line %d ends a PEM block that has no beginning", file, line)
	case strings.Contains(s, typeCertificate):
		return fmt.Errorf("%s: certificate %d (line %d) is malformed or truncated", file, certificates, line)
	default:
		return fmt.Errorf("%s: the PEM block at line %d is malformed or truncated", file, line)
	}
}

// maxFile bounds a file, in bytes. A bundle of all public authorities is much smaller.
const maxFile = 16 << 20

// readFile reads a regular file. Reading a named pipe could block for ever.
func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", file)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes; want %d at most", file, info.Size(), maxFile)
	}
	return os.ReadFile(file)
}
