// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package certs reads certificates, private keys and bundles of authorities from
// PEM files. It is stricter than crypto/tls and crypto/x509, which pass over what
// they cannot read: a file of which a part is garbled is refused, and the error
// names the file and the part.
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

// LoadPool returns the certificates of a PEM bundle, of which there is at least
// one. Blocks of other types, and text between blocks, are ignored.
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

// LoadPair returns a certificate with its chain and its private key. The files may
// be the same one.
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

// pairError says why a certificate and a key that are both readable are no pair.
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
			// OpenSSL's TRUSTED CERTIFICATE and the like: passing over one would be to
			// trust fewer than the file names.
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

// checkKey returns what is wrong with a PEM text that should have a private key,
// where crypto/tls would not say it clearly.
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
		return fmt.Errorf("%s: the private key is encrypted, and there is nobody to ask for its passphrase; decrypt it with openssl pkey -in %s -out FILE, and give FILE mode 0600", file, file)
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

// formatHint says what a file without PEM seems to be.
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

// A block is a PEM block with the line it begins at, from 1.
type block struct {
	*pem.Block
	line int
}

var (
	byteOrderMark = []byte("\xef\xbb\xbf")
	begin         = []byte("-----BEGIN")
)

// split returns the PEM blocks of a text. Each line that looks like the border of a
// block must be one: encoding/pem passes over blocks it cannot read.
func split(file string, text []byte) ([]block, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	var list []block
	certificates := 0 // up to and with the one at hand
	for line := 1; len(text) > 0; {
		first, _, _ := bytes.Cut(text, []byte("\n"))
		if !isBorder(first) {
			text, line = text[min(len(first)+1, len(text)):], line+1
			continue
		}
		b, rest := decodeFirst(text)
		if bytes.Contains(first, []byte(typeCertificate)) {
			certificates++
		}
		if b == nil {
			return nil, garbled(file, first, certificates, line)
		}
		list = append(list, block{b, line})
		line += bytes.Count(text[:len(text)-len(rest)], []byte("\n"))
		text = rest
	}
	return list, nil
}

// isBorder reports whether a line looks like the first or the last of a PEM block,
// also where a dash is missing or it is indented.
func isBorder(line []byte) bool {
	s := strings.TrimSpace(string(line))
	trimmed := strings.Trim(s, "-")
	return (strings.HasPrefix(s, "--") || strings.HasSuffix(s, "--")) &&
		(strings.HasPrefix(trimmed, "BEGIN ") || strings.HasPrefix(trimmed, "END "))
}

// decodeFirst decodes the block that a text begins with; nil if that one cannot be
// read, whatever follows it.
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

func garbled(file string, first []byte, certificates, line int) error {
	switch s := string(first); {
	case strings.Contains(s, "END "):
		return fmt.Errorf("%s: line %d ends a PEM block that does not begin", file, line)
	case strings.Contains(s, typeCertificate):
		return fmt.Errorf("%s: certificate %d (line %d) is garbled or cut short", file, certificates, line)
	default:
		return fmt.Errorf("%s: the PEM block at line %d is garbled or cut short", file, line)
	}
}

// maxFile is more than the bundles of all public authorities.
const maxFile = 16 << 20

// readFile reads a file. What is not a regular one is refused: reading a named pipe
// might never end.
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
