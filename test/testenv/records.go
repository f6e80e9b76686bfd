// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// Content types of TLS records (RFC 8446 section 5.1).
const (
	RecordAlert     = 21
	RecordHandshake = 22
	RecordData      = 23
)

// Records encrypts and decrypts the TLS records of a client after a handshake of crypto/tls, so
// that a test can send what crypto/tls does not. It supports only TLS_AES_128_GCM_SHA256. It gets
// the secrets as the KeyLogWriter of the client's tls.Config. The tls.Conn must not have sent
// application data.
type Records struct{ out, in *recordKeys }

// Write parses a line of the key log.
func (r *Records) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	secret, err := hex.DecodeString(string(fields[2]))
	if err != nil {
		return 0, err
	}
	switch string(fields[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		r.out = newRecordKeys(secret)
	case "SERVER_TRAFFIC_SECRET_0":
		r.in = newRecordKeys(secret)
	}
	return len(line), nil
}

// Seal returns an encrypted record.
func (r *Records) Seal(contentType byte, content []byte) []byte {
	k := r.out
	header := binary.BigEndian.AppendUint16([]byte{RecordData, 3, 3}, uint16(len(content)+1+k.aead.Overhead()))
	return k.aead.Seal(header, k.nonce(), append(bytes.Clone(content), contentType), header)
}

// KeyUpdate returns the record of a key update, and then uses the new keys.
func (r *Records) KeyUpdate(request byte) []byte {
	record := r.Seal(RecordHandshake, []byte{24, 0, 0, 1, request})
	r.out = r.out.next()
	return record
}

// Open decrypts a record of the server, and follows its key updates.
func (r *Records) Open(header, fragment []byte) (contentType byte, content []byte, err error) {
	inner, err := r.in.aead.Open(nil, r.in.nonce(), fragment, header)
	if err != nil {
		return 0, nil, fmt.Errorf("cannot decrypt a record of the server: %w", err)
	}
	contentType, content = inner[len(inner)-1], inner[:len(inner)-1]
	if contentType == RecordHandshake {
		if !bytes.Equal(content, []byte{24, 0, 0, 1, 0}) {
			return 0, nil, fmt.Errorf("a handshake message that is not a key update: %x", content)
		}
		r.in = r.in.next()
	}
	return contentType, content, nil
}

// recordKeys are the keys of one direction.
type recordKeys struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func newRecordKeys(secret []byte) *recordKeys {
	block, err := aes.NewCipher(expandLabel(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &recordKeys{secret: secret, aead: aead, iv: expandLabel(secret, "iv", 12)}
}

func (k *recordKeys) next() *recordKeys {
	return newRecordKeys(expandLabel(k.secret, "traffic upd", 32))
}

func (k *recordKeys) nonce() []byte {
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4), k.seq)
	for i := range nonce {
		nonce[i] ^= k.iv[i]
	}
	k.seq++
	return nonce
}

// expandLabel is HKDF-Expand-Label (RFC 8446 section 7.1) with an empty context.
func expandLabel(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := slices.Concat([]byte{0, byte(n), byte(len(label))}, []byte(label), []byte{0})
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return b
}
