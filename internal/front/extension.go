// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"strconv"
	"strings"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
)

// deflateAnswer accepts permessage-deflate. Neither side keeps a context, so that
// one compressed form of an event serves all, and an idle connection needs no
// memory (RFC 7692, 7.1.1).
const deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// acceptDeflate returns the answer to the first offer of permessage-deflate, in a
// Sec-WebSocket-Extensions header, that can be accepted; "" when there is none.
// Offers are in the order of the client's preference (RFC 6455, 9.1).
func acceptDeflate(header string) (answer string) {
	for _, offer := range splitQuoted(header, ',') {
		if answer := acceptOffer(offer); answer != "" {
			return answer
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
		if seen[name] { // 7692, 7.1: no parameter twice
			return ""
		}
		seen[name] = true
		switch {
		case name == "server_no_context_takeover" && !valued:
		case name == "client_no_context_takeover" && !valued:
		case name == "client_max_window_bits" && (!valued || windowBits(value) > 0):
			// The client may keep its window smaller; ours is large enough.
		case name == "server_max_window_bits" && windowBits(value) == 15:
			answer += "; server_max_window_bits=15" // 7.1.2.1: accepted by saying so
		default: // unknown, malformed, or a window smaller than ours
			return ""
		}
	}
	return answer
}

// cutParameter splits a parameter; valued reports whether it has a value, which
// may be in quotes.
func cutParameter(p string) (name, value string, valued bool) {
	name, value, valued = strings.Cut(p, "=")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	return name, value, valued
}

// windowBits returns a window's size: 8 to 15 without leading zeros (7692,
// 7.1.2), else 0.
func windowBits(value string) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < 8 || n > 15 || value != strconv.Itoa(n) {
		return 0
	}
	return n
}

// splitQuoted splits s at sep, but for where sep is in a quoted string, and trims
// the parts. What is behind a quote that does not end is one part.
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

// negotiate has an upgrader accept permessage-deflate, and accepted say whether it
// has. No header makes it refuse the upgrade.
func negotiate(u *ws.Upgrader, accepted *bool) {
	var answer string
	u.ExtensionCustom = func(header []byte, _ []httphead.Option) ([]httphead.Option, bool) {
		if answer == "" {
			answer = acceptDeflate(string(header))
		}
		return nil, true
	}
	u.OnBeforeUpgrade = func() (ws.HandshakeHeader, error) {
		if answer == "" {
			return nil, nil
		}
		*accepted = true
		return ws.HandshakeHeaderString("Sec-WebSocket-Extensions: " + answer + "\r\n"), nil
	}
}
