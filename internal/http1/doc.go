// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package http1 stands between a connection and an HTTP/1 server and checks every
// request before the server reads it. A [Conn] gives the server one request at a
// time. A [Head] is a checked request line with its header fields.
//
// A request that passes has one possible reading, so a proxy in front of the node
// and the server behind this package agree on where it ends. What RFC 9110 and
// RFC 9112 forbid, and what servers and proxies are known to read differently, is
// refused here. A refusal ends the connection.
//
// A Conn is in one of these phases, in this order for each request:
//
//   - head: it reads until [Scanner.Next] returns a Head, a refusal, or the deadline of
//     Rules.HeadTimeout passes. The server has nothing of the request yet.
//   - giving: it gives the checked bytes of the head.
//   - body: it gives the body, and counts its bytes or parses its chunks to find its end.
//   - serving: the server works on the request. Only a server with ReadsAhead reads now,
//     and gets one byte.
//
// A head that arrives in one read is checked in the server's own buffer and parsed once by
// this package. The server behind it parses it again, with one possible result.
//
// The package does not look at methods, paths or fields that do not frame a
// message. Limits: [MaxHead] bytes of request line and fields.
package http1
