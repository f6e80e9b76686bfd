// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package frame speaks the wire of WebSocket, RFC 6455: it encodes messages by
// appending frames to a slice, and a [Decoder] makes messages of whatever bytes
// have arrived. It does no I/O, starts no goroutine and imports nothing of
// gatecast.
//
// A message is encoded once and the same bytes go to every receiver: frames of
// a server are not masked, so there is nothing of a connection in them.
//
// What a peer does wrong is an [*Error], which carries the close code to answer
// with. No input panics. Memory grows with the bytes a peer has sent, never with
// what a header of its promises.
//
// The one extension is permessage-deflate, RFC 7692, without context takeover:
// [AppendDeflated] compresses a message once for all receivers that negotiated
// it, and a Decoder that is told so inflates messages within its bound.
package frame
