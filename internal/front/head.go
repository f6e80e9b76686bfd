// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"encoding/base64"
	"strings"

	"github.com/gatecast/gatecast/internal/http1"

	"golang.org/x/net/http/httpguts"
)

// single are the headers that a request for an upgrade has once at most: a
// program in front of the node might go by another one of two. In lower case.
var single = []string{
	"api-key", "last-event-id", "replay", "origin",
	"sec-websocket-key", "sec-websocket-version", // RFC 6455, 11.3.1 and 11.3.5
}

// checkHead returns what the standards forbid in a request for an upgrade and
// neither http1 nor gobwas/ws refuses; "" for nothing.
func checkHead(head *http1.Head) (wrong string) {
	if head.HasBody() { // what came after it would be taken for frames
		return "an upgrade has no body"
	}
	for _, name := range single {
		if len(head.Values(name)) > 1 {
			return "more than one " + name + " header"
		}
	}
	for _, option := range head.List("connection") { // RFC 9110, 7.6.1
		if !httpguts.ValidHeaderFieldName(option) {
			return "a malformed Connection header"
		}
	}
	for _, protocol := range head.List("upgrade") { // RFC 9110, 7.8: a name, and perhaps a version
		name, version, versioned := strings.Cut(protocol, "/")
		if !httpguts.ValidHeaderFieldName(name) || versioned && !httpguts.ValidHeaderFieldName(version) {
			return "a malformed Upgrade header"
		}
	}
	if b, err := base64.StdEncoding.DecodeString(first(head.Values("sec-websocket-key"))); err != nil || len(b) != 16 { // 6455, 4.2.1
		return "Sec-WebSocket-Key: want 16 bytes as base64"
	}
	return ""
}
