// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An identity is a self-signed certificate and its key, in PEM.
type identity struct{ cert, key []byte }

func newIdentity(t testing.TB, name string) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{encode(typeCertificate, cert, nil), encode("PRIVATE KEY", der, nil)}
}

func encode(kind string, der []byte, headers map[string]string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: der})
}

// corrupt spoils the base64 of a block.
func corrupt(block []byte) []byte {
	lines := bytes.SplitAfter(bytes.Clone(block), []byte("\n"))
	lines[2][3] = '!'
	return bytes.Join(lines, nil)
}

// spoil changes the DER of a block, which then is good base64 of no certificate.
func spoil(block []byte) []byte {
	b, _ := pem.Decode(block)
	b.Bytes[1] ^= 0x40
	return pem.EncodeToMemory(b)
}

func join(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			out = append(out, p...)
		case []byte:
			out = append(out, p...)
		}
	}
	return out
}

func write(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadPool(t *testing.T) {
	a, b, c := newIdentity(t, "a"), newIdentity(t, "b"), newIdentity(t, "c")
	der, _ := pem.Decode(a.cert)
	half := b.cert[:len(b.cert)/2]
	for _, tt := range []struct {
		name string
		text []byte
		want int    // certificates
		says string // "" where it is loaded
	}{
		{"one", a.cert, 1, ""},
		{"three", join(a.cert, b.cert, c.cert), 3, ""},
		{"text between", join("# authority a\n", a.cert, "\nBundle\n======\n", b.cert, "the end"), 2, ""},
		{"line ends of Windows", bytes.ReplaceAll(join(a.cert, b.cert), []byte("\n"), []byte("\r\n")), 2, ""},
		{"a byte order mark", join("\xef\xbb\xbf", a.cert, b.cert), 2, ""},
		{"no newline at the end", bytes.TrimSpace(join(a.cert, b.cert)), 2, ""},
		{"a key besides", join(a.key, a.cert), 1, ""},
		{"the same twice", join(a.cert, a.cert), 1, ""},

		{"the first is malformed", join(corrupt(a.cert), b.cert), 0, "certificate 1 (line 1)"},
		{"the second is malformed", join(a.cert, corrupt(b.cert), c.cert), 0, "certificate 2 (line "},
		{"the last is malformed", join(a.cert, b.cert, corrupt(c.cert)), 0, "certificate 3 (line "},
		{"malformed after a key", join(a.key, corrupt(b.cert)), 0, "certificate 1 (line "},
		{"the second is no certificate", join(a.cert, spoil(b.cert)), 0, "certificate 2 (line "},
		{"the last is cut short", join(a.cert, half), 0, "certificate 2 (line "},
		{"the first is cut short", join(half, "\n", c.cert), 0, "certificate 1 (line 1)"},
		{"the second has no first line", join(a.cert, b.cert[bytes.IndexByte(b.cert, '\n')+1:]), 0, "ends a PEM block that has no beginning"},
		{"indented", join(a.cert, bytes.ReplaceAll(b.cert, []byte("-----BEGIN"), []byte("  -----BEGIN"))), 0, "certificate 2"},
		{"a dash is missing", join(a.cert, bytes.Replace(b.cert, []byte("-----BEGIN"), []byte("----BEGIN"), 1)), 0, "certificate 2"},
		{"another last line", bytes.Replace(a.cert, []byte("END CERTIFICATE"), []byte("END CERT"), 1), 0, "certificate 1"},
		{"OpenSSL's own type", join(a.cert, encode("TRUSTED CERTIFICATE", der.Bytes, nil)), 0, "certificate 2 is a TRUSTED CERTIFICATE"},
		{"a key only", a.key, 0, "no certificate in it, but a PRIVATE KEY"},
		{"a request only", encode("CERTIFICATE REQUEST", der.Bytes, nil), 0, "but a CERTIFICATE REQUEST"},
		{"DER", der.Bytes, 0, "may be DER"},
		{"empty", nil, 0, "it is empty"},
		{"blank", []byte("\n \n"), 0, "it is empty"},
		{"not PEM", []byte("hello"), 0, "no certificate in PEM"},
		{"UTF-16", []byte("\xff\xfe-\x00"), 0, "UTF-16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			pool, err := LoadPool(path)
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
					t.Fatalf("error %v; want one that says %q and names the file", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := x509.NewCertPool()
			want.AppendCertsFromPEM(bytes.TrimPrefix(tt.text, byteOrderMark))
			if !pool.Equal(want) {
				t.Error("not the certificates of the file")
			}
		})
	}
}

func TestLoadPair(t *testing.T) {
	a, b := newIdentity(t, "a"), newIdentity(t, "b")
	keyDER, _ := pem.Decode(a.key)
	legacy := encode("EC PRIVATE KEY", keyDER.Bytes, map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"})
	for _, tt := range []struct {
		name      string
		cert, key []byte
		says      string // "" where it is loaded
	}{
		{"a pair", a.cert, a.key, ""},
		{"a chain", join(a.cert, b.cert), a.key, ""},
		{"both in both", join(a.key, a.cert), join(a.key, a.cert), ""},
		{"parameters before the key", a.cert, join(encode("EC PARAMETERS", []byte{6, 1, 1}, nil), a.key), ""},

		{"the key of another", a.cert, b.key, "does not match the certificate"},
		{"another's certificate first", join(b.cert, a.cert), a.key, "the first must be the server's own"},
		{"an encrypted key", a.cert, encode(typeEncryptedKey, keyDER.Bytes, nil), "is encrypted"},
		{"an encrypted key of the old kind", a.cert, legacy, "openssl pkey -in "},
		{"a key of OpenSSH", a.cert, encode("OPENSSH PRIVATE KEY", keyDER.Bytes, nil), "ssh-keygen"},
		{"a malformed key", a.cert, corrupt(a.key), "the PEM block at line 1 is malformed"},
		{"a key cut short", a.cert, a.key[:len(a.key)/2], "malformed or truncated"},
		{"a key that is none", a.cert, spoil(a.key), "failed to parse private key"},
		{"a malformed second certificate", join(a.cert, corrupt(b.cert)), a.key, "certificate 2"},
		{"a second certificate that is none", join(a.cert, spoil(b.cert)), a.key, "certificate 2"},
		{"swapped", a.key, a.cert, "no certificate in it, but a PRIVATE KEY"},
		{"a certificate for a key", a.cert, a.cert, "no private key in it, but a CERTIFICATE"},
		{"an empty key", a.cert, nil, "it is empty"},
		{"a DER key", a.cert, keyDER.Bytes, "may be DER"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert, key := write(t, tt.cert), write(t, tt.key)
			pair, err := LoadPair(cert, key)
			switch {
			case tt.says == "":
				if err != nil || pair.Leaf == nil || pair.Leaf.Subject.CommonName != "a" {
					t.Errorf("%v", err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.says):
				t.Errorf("error %v; want one that says %q", err, tt.says)
			case !strings.Contains(err.Error(), cert) && !strings.Contains(err.Error(), key):
				t.Errorf("error %v; want one that names a file", err)
			}
		})
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if _, err := LoadPair(path, path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v; want one that names %s", err, path)
		}
	}
}

// The bundle of public authorities, as systems have it, is taken whole.
func TestLoadPoolOfSystem(t *testing.T) {
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	text, err := os.ReadFile(bundle)
	if err != nil {
		t.Skip(err)
	}
	pool, err := LoadPool(bundle)
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	if want.AppendCertsFromPEM(text); !pool.Equal(want) {
		t.Error("not the certificates of the file")
	}
}

// What is read of a text are its blocks, all of them: none is passed over, whatever
// stands between, and one that is cut anywhere is an error.
func FuzzSplit(f *testing.F) {
	a, b := newIdentity(f, "a"), newIdentity(f, "b")
	f.Add([]byte(""), []byte(""), uint16(0))
	f.Add([]byte("# text\n"), []byte("-- \n"), uint16(40))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"), []byte("-----END\n"), uint16(1))
	f.Fuzz(func(t *testing.T, before, between []byte, cut uint16) {
		text := join(before, "\n", a.cert, between, "\n", b.cert)
		blocks, err := split("file", text)
		borders := bytes.Contains(text, []byte("--")) && bytes.Count(text, []byte("BEGIN "))+bytes.Count(text, []byte("END ")) > 4
		if !borders && (err != nil || len(blocks) != 2) {
			t.Errorf("%d blocks, %v", len(blocks), err)
		}
		at := 1 + int(cut)%(len(b.cert)-2) // within the second certificate's lines
		whole := bytes.TrimSpace(b.cert)
		if at >= len(whole) {
			return
		}
		blocks, err = split("file", join(a.cert, whole[:at]))
		if err == nil && len(blocks) > 1 {
			t.Errorf("a block of %d of %d bytes is taken for one", at, len(whole))
		}
		if err == nil && at >= len("-----BEGIN C") {
			t.Errorf("a block of %d of %d bytes is passed over", at, len(whole))
		}
	})
}
