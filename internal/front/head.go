// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"encoding/base64"
	"strings"

	"github.com/gatecast/gatecast/internal/http1"

	"golang.org/x/net/http/httpguts"
)

// singleHeaders are the headers that an upgrade has at most once: of two, a proxy in
// front of the node could read another one than we do. In lower case.
var singleHeaders = []string{
	"api-key", "authorization", "last-event-id", "replay", "origin",
	"sec-websocket-key", "sec-websocket-version", // RFC 6455 sections 11.3.1 and 11.3.5
}

// keySize is the size of a decoded Sec-WebSocket-Key, in bytes.
const keySize = 16

// checkHead returns what the standards forbid in an upgrade and http1 accepts in
// other requests; "" for nothing.
func checkHead(head *http1.Head) (problem string) {
	if head.HasBody() { // its bytes would be read as frames
		return "an upgrade has no body"
	}
	for _, name := range singleHeaders {
		if _, lines := head.Value(name); lines > 1 {
			return "more than one " + name + " header"
		}
	}
	for _, option := range head.List("connection") { // RFC 9110 section 7.6.1
		if !httpguts.ValidHeaderFieldName(option) {
			return "a malformed Connection header"
		}
	}
	for _, protocol := range head.List("upgrade") { // RFC 9110 section 7.8: a name, possibly with a version
		name, version, versioned := strings.Cut(protocol, "/")
		if !httpguts.ValidHeaderFieldName(name) || versioned && !httpguts.ValidHeaderFieldName(version) {
			return "a malformed Upgrade header"
		}
	}
	key, _ := head.Value("sec-websocket-key")
	if b, err := base64.StdEncoding.DecodeString(key); err != nil || len(b) != keySize { // RFC 6455 section 4.2.1
		return "Sec-WebSocket-Key: want 16 bytes as base64"
	}
	return ""
}
