// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"strconv"
	"strings"
)

// deflateAnswer accepts permessage-deflate. Neither side keeps a context, so one
// compressed form of an event serves all connections, and an idle connection needs no
// memory (RFC 7692 section 7.1.1).
const deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// acceptDeflate returns the answer to the first acceptable offer of
// permessage-deflate, "" when there is none. headers are the values of
// Sec-WebSocket-Extensions. Offers are in the client's order of preference (RFC 6455
// section 9.1).
func acceptDeflate(headers []string) (answer string) {
	for _, header := range headers {
		for _, offer := range splitQuoted(header, ',') {
			if answer := acceptOffer(offer); answer != "" {
				return answer
			}
		}
	}
	return ""
}

// acceptOffer returns the answer to one offer; "" declines it.
func acceptOffer(offer string) (answer string) {
	parts := splitQuoted(offer, ';')
	if !strings.EqualFold(parts[0], "permessage-deflate") {
		return ""
	}
	answer = deflateAnswer
	seen := make(map[string]bool)
	for _, p := range parts[1:] {
		name, value, valued := cutParameter(p)
		if seen[name] { // RFC 7692 section 7.1: no parameter twice
			return ""
		}
		seen[name] = true
		switch {
		case name == "server_no_context_takeover" && !valued:
		case name == "client_no_context_takeover" && !valued:
		case name == "client_max_window_bits" && (!valued || windowBits(value) > 0):
			// A smaller window of the client fits into ours.
		case name == "server_max_window_bits" && windowBits(value) == 15:
			answer += "; server_max_window_bits=15" // RFC 7692 section 7.1.2.1: accepted by repeating it
		default: // unknown, malformed, or a window smaller than ours
			return ""
		}
	}
	return answer
}

// cutParameter splits a parameter. valued reports whether it has a value. Quotes
// around the value are removed.
func cutParameter(p string) (name, value string, valued bool) {
	name, value, valued = strings.Cut(p, "=")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	return name, value, valued
}

// windowBits returns the size of a window: 8 to 15 without leading zeros (RFC 7692
// section 7.1.2), else 0.
func windowBits(value string) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < 8 || n > 15 || value != strconv.Itoa(n) {
		return 0
	}
	return n
}

// splitQuoted splits s at each sep outside quoted strings, and trims the parts. An
// unclosed quote extends to the end of s.
func splitQuoted(s string, sep byte) (parts []string) {
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[start:]))
}
