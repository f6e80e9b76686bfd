// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"slices"
	"testing"
)

// A handmade client has crypto/tls do its handshake, and seals and opens its
// records itself: it can send what crypto/tls does not. It speaks
// TLS_AES_128_GCM_SHA256 alone.
type handmade struct {
	net.Conn // the socket
	out, in  *keys
}

// handmake returns a connection after its handshake, and a handmade far end.
func handmake(t *testing.T) (*handmade, *Conn) {
	t.Helper()
	h := new(handmade)
	only(t, tls.TLS_AES_128_GCM_SHA256)
	c, far := shake(t, ownRecords, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: keyLog(h.learn)})
	h.Conn = far.(*tls.Conn).NetConn()
	return h, c
}

type keyLog func(line []byte)

func (k keyLog) Write(line []byte) (int, error) {
	k(line)
	return len(line), nil
}

// learn takes a line of the key log.
func (h *handmade) learn(line []byte) {
	fields := bytes.Fields(line)
	secret, err := hex.DecodeString(string(fields[2]))
	if err != nil {
		panic(err)
	}
	switch string(fields[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		h.out = newKeys(secret)
	case "SERVER_TRAFFIC_SECRET_0":
		h.in = newKeys(secret)
	}
}

// keyUpdate returns the record of a key update, after which the keys are new.
func (h *handmade) keyUpdate(request byte) []byte {
	record := h.out.seal(22, []byte{24, 0, 0, 1, request})
	h.out = h.out.next()
	return record
}

// receive reads a record, and follows the server's key updates.
func (h *handmade) receive(t *testing.T) (contentType byte, content []byte) {
	t.Helper()
	header := readN(t, h, 5)
	fragment := readN(t, h, int(binary.BigEndian.Uint16(header[3:])))
	inner, err := h.in.aead.Open(nil, h.in.nonce(), fragment, header)
	if err != nil {
		t.Fatalf("the server's record does not open: %v", err)
	}
	contentType, content = inner[len(inner)-1], inner[:len(inner)-1]
	if contentType == 22 {
		if !bytes.Equal(content, []byte{24, 0, 0, 1, 0}) {
			t.Fatalf("a handshake message that is no key update: %x", content)
		}
		h.in = h.in.next()
	}
	return contentType, content
}

// keys are those of one direction.
type keys struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func newKeys(secret []byte) *keys {
	block, err := aes.NewCipher(expandLabel(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &keys{secret: secret, aead: aead, iv: expandLabel(secret, "iv", 12)}
}

func (k *keys) next() *keys { return newKeys(expandLabel(k.secret, "traffic upd", 32)) }

func (k *keys) nonce() []byte {
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4), k.seq)
	for i := range nonce {
		nonce[i] ^= k.iv[i]
	}
	k.seq++
	return nonce
}

func (k *keys) seal(contentType byte, content []byte) []byte {
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(content)+1+16))
	return k.aead.Seal(header, k.nonce(), append(bytes.Clone(content), contentType), header)
}

// expandLabel is RFC 8446's HKDF-Expand-Label, without a context.
func expandLabel(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := slices.Concat([]byte{0, byte(n), byte(len(label))}, []byte(label), []byte{0})
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return b
}
