// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"hash"
	"math"
)

const (
	ivLen        = 12 // of every AEAD of TLS 1.3; iv_length in section 5.3
	maxKeyLen    = 32
	maxSecretLen = 48
)

// A suite is a cipher suite that a session supports. Lengths are in bytes.
type suite struct {
	keyLen    int
	secretLen int // the output of hash
	hash      func() hash.Hash
}

var (
	aes128 = &suite{16, sha256.Size, sha256.New}
	aes256 = &suite{32, sha512.Size384, sha512.New384}
)

// suiteOf returns the suite with an id of crypto/tls, or nil.
func suiteOf(id uint16) *suite {
	switch id {
	case tls.TLS_AES_128_GCM_SHA256:
		return aes128
	case tls.TLS_AES_256_GCM_SHA384:
		return aes256
	}
	return nil
}

// A half is the keys of one direction. Secret, key and IV are inline, so that they can
// be wiped. The AEAD has a copy of the key that cannot be wiped; it is released.
type half struct {
	suite  *suite
	aead   cipher.AEAD // expanded from key; nil until it is needed
	seq    uint64      // number of the next record
	secret [maxSecretLen]byte
	key    [maxKeyLen]byte
	iv     [ivLen]byte
}

// init sets the traffic secret and derives the keys.
func (h *half) init(s *suite, secret []byte) {
	h.suite = s
	copy(h.secret[:], secret)
	h.derive()
}

// derive derives key and IV from the secret, for record 0 (section 7.3).
func (h *half) derive() {
	h.expand(h.key[:h.suite.keyLen], "key")
	h.expand(h.iv[:], "iv")
	h.seq, h.aead = 0, nil
}

// update replaces the secret by the next one (section 7.2).
func (h *half) update() {
	h.expand(h.secret[:h.suite.secretLen], "traffic upd")
	h.derive()
}

// expand fills dst with HKDF-Expand-Label(secret, label, "", len(dst)) (section 7.1):
//
//	struct {
//	    uint16 length = Length;
//	    opaque label<7..255> = "tls13 " + Label;
//	    opaque context<0..255> = Context;
//	} HkdfLabel;
func (h *half) expand(dst []byte, label string) {
	info := binary.BigEndian.AppendUint16(nil, uint16(len(dst)))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "+label...)
	info = append(info, 0)
	out, err := hkdf.Expand(h.suite.hash, h.secret[:h.suite.secretLen], string(info), len(dst))
	if err != nil {
		panic("BUG: HKDF-Expand: " + err.Error()) // it fails only for too much output, and for keys too short for FIPS 140-3
	}
	copy(dst, out)
	clear(out)
}

// cipher returns the AEAD, expanding the key if needed.
func (h *half) cipher() cipher.AEAD {
	if h.aead == nil {
		block, err := aes.NewCipher(h.key[:h.suite.keyLen])
		if err != nil {
			panic("BUG: AES key: " + err.Error())
		}
		if h.aead, err = cipher.NewGCM(block); err != nil {
			panic("BUG: GCM: " + err.Error())
		}
	}
	return h.aead
}

// maxSeq guards the record number, which must not repeat under one key (section 5.3).
const maxSeq = math.MaxUint64

// nonce returns the nonce of the next record: its number XORed into the IV (section
// 5.3). A second call removes the number again, and must be made before seq changes.
// The nonce lies in h, so nothing is allocated.
func (h *half) nonce() []byte {
	number := h.iv[ivLen-8:]
	binary.BigEndian.PutUint64(number, binary.BigEndian.Uint64(number)^h.seq)
	return h.iv[:]
}

// wipe overwrites everything secret.
func (h *half) wipe() { *h = half{} }
