// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package http1 stands between a connection and an HTTP/1 server and vets every
// request's head before the server sees it. The server is given one request at a
// time, and each has one possible reading: what RFC 9110 and RFC 9112 forbid, and
// what servers and proxies are known to read differently, is answered here and
// ends the connection.
//
// It has no opinion on methods, paths or fields that do not frame a message.
package http1
