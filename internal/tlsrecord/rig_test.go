// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"testing"
)

// The vocabulary of this package's tests.

// A reference is one direction of the record layer, written plainly from
// RFC 8446 with HMAC and AES-GCM. It has nothing of the code under test.
type reference struct {
	hash   func() hash.Hash
	keyLen int
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func newReference(keyLen int, hash func() hash.Hash, secret []byte) *reference {
	r := &reference{hash: hash, keyLen: keyLen, secret: bytes.Clone(secret)}
	r.derive()
	return r
}

func (r *reference) derive() {
	block, err := aes.NewCipher(r.expandLabel("key", r.keyLen))
	if err != nil {
		panic(err)
	}
	if r.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	r.iv, r.seq = r.expandLabel("iv", 12), 0
}

// update goes on to the next secret (section 7.2).
func (r *reference) update() {
	r.secret = r.expandLabel("traffic upd", r.hash().Size())
	r.derive()
}

// expandLabel is HKDF-Expand-Label with an empty context (section 7.1), and
// HKDF-Expand (RFC 5869 section 2.3).
func (r *reference) expandLabel(label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	info = append(info, 0)
	var out, t []byte
	for i := byte(1); len(out) < n; i++ {
		mac := hmac.New(r.hash, r.secret)
		mac.Write(slices.Concat(t, info, []byte{i}))
		t = mac.Sum(nil)
		out = append(out, t...)
	}
	return out[:n]
}

// nonce returns the next record's (section 5.3).
func (r *reference) nonce() []byte {
	nonce := bytes.Clone(r.iv)
	for i := range 8 {
		nonce[11-i] ^= byte(r.seq >> (8 * i))
	}
	r.seq++
	return nonce
}

// seal returns a record (section 5.2).
func (r *reference) seal(contentType byte, content []byte, padding int) []byte {
	return r.sealInner(slices.Concat(content, []byte{contentType}, make([]byte, padding)))
}

func (r *reference) sealInner(inner []byte) []byte {
	n := len(inner) + 16
	header := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return append(header, r.aead.Seal(nil, r.nonce(), inner, header)...)
}

// open returns what is in a whole record; ok is false when it is not the peer's.
func (r *reference) open(record []byte) (contentType byte, content []byte, ok bool) {
	header, fragment := record[:5], record[5:]
	if header[0] != 23 || header[1] != 3 || header[2] != 3 || int(header[3])<<8|int(header[4]) != len(fragment) {
		return 0, nil, false
	}
	inner, ok := r.openInner(record)
	inner = bytes.TrimRight(inner, "\x00")
	if !ok || len(inner) == 0 {
		return 0, nil, false
	}
	return inner[len(inner)-1], inner[:len(inner)-1], true
}

func (r *reference) openInner(record []byte) (inner []byte, ok bool) {
	inner, err := r.aead.Open(nil, r.nonce(), record[5:], record[:5])
	return inner, err == nil
}

// suites are those that a session can keep.
var suites = []struct {
	name string
	*suite
	id     uint16
	keyLen int
	hash   func() hash.Hash
}{
	{"AES-128", aes128, tls.TLS_AES_128_GCM_SHA256, 16, sha256.New},
	{"AES-256", aes256, tls.TLS_AES_256_GCM_SHA384, 32, sha512.New384},
}

func eachSuite(t *testing.T, f func(t *testing.T, e *ends)) {
	for i, s := range suites {
		t.Run(s.name, func(t *testing.T) { f(t, newEnds(i)) })
	}
}

// ends are a session and its client, which is two references.
type ends struct {
	*Session
	client *reference // seals what the session opens
	server *reference // opens what the session seals
}

func newEnds(i int) *ends {
	s := suites[i]
	client, server := testSecret(s.hash().Size(), 0x11), testSecret(s.hash().Size(), 0xa3)
	return &ends{
		Session: newSession(s.suite, client, server),
		client:  newReference(s.keyLen, s.hash, client),
		server:  newReference(s.keyLen, s.hash, server),
	}
}

// testSecret returns n bytes of which no two runs of four are the same.
func testSecret(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i*37)
	}
	return b
}

// data returns a record of application data.
func (e *ends) data(content string) []byte { return e.client.seal(23, []byte(content), 0) }

// begun returns content sealed by the session, and what it put ahead of it.
func begun(s *Session, content []byte) ([]byte, error) {
	b, start, err := s.BeginRecord(nil)
	if err != nil {
		return b, err
	}
	return s.EndRecord(append(b, content...), start), nil
}

// seals returns content sealed by the session.
func (e *ends) seals(t *testing.T, content string) []byte {
	t.Helper()
	b, err := begun(e.Session, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reads makes sure that wire is one record of the session, and what is in it.
func (e *ends) reads(t *testing.T, wire []byte, contentType byte, content string) {
	t.Helper()
	gotType, got, ok := e.server.open(wire)
	if !ok || gotType != contentType || string(got) != content {
		t.Fatalf("the client reads type %d, %q, %v; want type %d, %q", gotType, got, ok, contentType, content)
	}
}

// hears makes sure what the session makes of wire.
func (e *ends) hears(t *testing.T, wire []byte, want string, wantErr error) {
	t.Helper()
	got, rest, err := e.Open(bytes.Clone(wire))
	if string(got) != want || err != wantErr || len(rest) > 0 {
		t.Fatalf("Open = %q, %d bytes rest, %v; want %q, none, %v", got, len(rest), err, want, wantErr)
	}
}

// splitRecords cuts records apart by their headers.
func splitRecords(wire []byte) (records [][]byte) {
	for len(wire) >= 5 {
		n := 5 + int(wire[3])<<8 + int(wire[4])
		records, wire = append(records, wire[:n]), wire[n:]
	}
	return records
}

// unhex reads hexadecimal digits, as documents print them.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}
