// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import "github.com/gobwas/ws"

// A CloseCode is the status code of a WebSocket close frame (RFC 6455 section 7.4).
type CloseCode uint16

// The close codes of RFC 6455 section 7.4.1 and of the IANA registry, with what gatecast means
// by those that it sends.
const (
	CloseNormal             CloseCode = 1000 // an operator closed the connection, its groups changed, or the node shuts down
	CloseGoingAway          CloseCode = 1001 // a node shuts down with --shutdown-code 1001
	CloseProtocolError      CloseCode = 1002 // the client violated RFC 6455
	CloseUnsupportedData    CloseCode = 1003 // the client sent a binary message
	CloseNoStatus           CloseCode = 1005 // the close frame had no code; never on the wire
	CloseAbnormal           CloseCode = 1006 // there was no close frame; never on the wire
	CloseInvalidData        CloseCode = 1007 // a message is not UTF-8 or not JSON
	ClosePolicyViolation    CloseCode = 1008 // the token is no longer valid, the gateway was removed, or it exceeded a rate limit
	CloseMessageTooBig      CloseCode = 1009 // a message is larger than the receiver accepts
	CloseMandatoryExtension CloseCode = 1010 // not sent by gatecast
	CloseInternalError      CloseCode = 1011 // the node failed
	CloseServiceRestart     CloseCode = 1012 // a node shuts down with --shutdown-code 1012
	CloseTryAgainLater      CloseCode = 1013 // the client read too slowly; reconnect and catch up
	CloseBadGateway         CloseCode = 1014 // not sent by gatecast
)

// sendable reports whether a close frame can carry c. gobwas/ws does not know 1012 to 1014.
func (c CloseCode) sendable() bool {
	switch {
	case CloseNormal <= c && c <= CloseUnsupportedData, CloseInvalidData <= c && c <= CloseBadGateway:
		return true
	default: // section 7.4.2: for libraries and applications
		return ws.StatusCode(c).IsApplicationSpec() || ws.StatusCode(c).IsPrivateSpec()
	}
}
