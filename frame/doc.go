// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package frame encodes and decodes the WebSocket wire format (RFC 6455). It encodes a
// message by appending a frame to a slice; a [Decoder] decodes whatever bytes have
// arrived. It does no I/O, starts no goroutine and imports nothing of gatecast.
// Sections in its comments are of RFC 6455 unless they name another.
//
// A message is encoded once, and the same bytes are sent to every receiver: a server's
// frames are not masked (section 5.1), so they contain nothing of a connection.
//
// What a peer does wrong is an [*Error] with the close code to answer with. No input
// panics. Memory grows with the bytes that a peer has sent, never with the length that
// a header promises.
//
// The only extension is permessage-deflate (RFC 7692) without context takeover:
// [AppendDeflated] compresses a message once for all receivers that negotiated it, and
// a Decoder with Deflate set inflates messages up to its limit.
package frame
