// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package tlsrecord is the record layer of TLS 1.3 (RFC 8446 section 5) of a server,
// after the handshake: bytes in, bytes out, no I/O and no goroutine. Sections in its
// comments are of RFC 8446.
//
// crypto/tls does the handshake, and so decides who the peer is and which keys are
// used. A [KeyLog] takes the two traffic secrets from it. A [Session] made of them
// seals and opens records, and follows key updates (section 4.6.3) and alerts (section
// 6). It takes about 1 KB per connection, most of it one expanded AES-GCM key; a
// [crypto/tls.Conn] takes 7.5 KB.
//
// The rules:
//
//   - The cryptography is the standard library's: crypto/aes, crypto/cipher and
//     crypto/hkdf.
//   - It fails closed. After the first error a Session opens nothing and seals
//     nothing but the alert to the peer, and its secrets are wiped.
//   - It does not take over what it does not know ([ErrUnsupported]): cipher suites
//     other than AES-GCM, other versions, a program in FIPS 140-3 mode. Such a
//     connection stays with crypto/tls.
//
// A Session is used by one goroutine at a time.
package tlsrecord
