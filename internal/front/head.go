// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"encoding/base64"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// single are the headers that a request for an upgrade has once at most: a
// program in front of the node might go by another one of two. In lower case.
var single = map[string]bool{
	"host": true, "api-key": true, "last-event-id": true, "replay": true,
	"sec-websocket-key": true, "sec-websocket-version": true, // RFC 6455, 11.3.1 and 11.3.5
}

// checkHead returns what the standards forbid in a request's head and gobwas/ws
// lets pass; "" for nothing.
func checkHead(head []byte) (wrong string) {
	lines := strings.Split(strings.TrimSuffix(string(head), string(endOfHead)), "\r\n")
	seen := make(map[string]bool)
	for i, line := range lines {
		if !httpguts.ValidHeaderFieldValue(line) { // a lone CR or LF too: RFC 9110, 5.5; RFC 9112, 2.2
			return "a control character in the request's head"
		}
		if i == 0 {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(name), strings.Trim(value, " \t")
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(name): // 9112, 5.1 and 5.2: no space before the colon, no folded line
			return "a malformed header"
		case single[name] && seen[name]:
			return "more than one " + name + " header"
		}
		seen[name] = true
		if wrong := checkHeader(name, value); wrong != "" {
			return wrong
		}
	}
	return ""
}

// checkHeader returns what is wrong with one header's value; "" for nothing.
func checkHeader(name, value string) (wrong string) {
	switch name {
	case "host":
		if !httpguts.ValidHostHeader(value) { // 9112, 3.2
			return "a malformed Host header"
		}
	case "connection": // 9110, 7.6.1: a list of tokens, of which some may be empty
		for option := range strings.SplitSeq(value, ",") {
			if option = strings.Trim(option, " \t"); option != "" && !httpguts.ValidHeaderFieldName(option) {
				return "a malformed Connection header"
			}
		}
	case "sec-websocket-key": // 6455, 4.2.1
		if b, err := base64.StdEncoding.DecodeString(value); err != nil || len(b) != 16 {
			return "Sec-WebSocket-Key: want 16 bytes as base64"
		}
	case "transfer-encoding":
		return "an upgrade has no body"
	case "content-length":
		if value != "0" { // what came behind would be taken for frames
			return "an upgrade has no body"
		}
	}
	return ""
}
