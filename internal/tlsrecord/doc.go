// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package tlsrecord is the record layer of TLS 1.3 (RFC 8446 section 5) for a
// server, from the end of the handshake on: bytes in, bytes out, no I/O and no
// goroutine.
//
// crypto/tls does the handshake, and with it everything that decides whom one
// talks to and with which keys. A [KeyLog] takes the two traffic secrets from
// it, and a [Session] made of them seals and opens records, follows key updates
// (section 4.6.3) and alerts (section 6). It costs a connection about a kilobyte,
// of which most is one expanded AES-GCM key, where a [crypto/tls.Conn] costs
// seven and a half.
//
// The rules:
//
//   - The cryptography is the standard library's: crypto/aes, crypto/cipher and
//     crypto/hkdf.
//   - It fails closed. After the first error a Session opens and seals nothing
//     more but the alert that tells the peer, and its secrets are gone.
//   - What it does not know, it refuses to take over ([ErrUnsupported]), and the
//     connection stays with crypto/tls: other cipher suites than AES-GCM, other
//     versions, a program in FIPS 140-3 mode.
//
// A Session is not for concurrent use.
package tlsrecord
