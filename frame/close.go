// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A CloseCode is the status code of a close frame: why a connection is closed (RFC 6455
// section 7.4).
type CloseCode uint16

// The close codes of RFC 6455 section 7.4.1, and those registered with IANA since
// (section 11.7).
const (
	CloseNormal             = CloseCode(ws.StatusNormalClosure)           // 1000
	CloseGoingAway          = CloseCode(ws.StatusGoingAway)               // 1001
	CloseProtocolError      = CloseCode(ws.StatusProtocolError)           // 1002
	CloseUnsupportedData    = CloseCode(ws.StatusUnsupportedData)         // 1003
	CloseNoStatus           = CloseCode(ws.StatusNoStatusRcvd)            // 1005: never in a frame
	CloseAbnormal           = CloseCode(ws.StatusAbnormalClosure)         // 1006: never in a frame
	CloseInvalidData        = CloseCode(ws.StatusInvalidFramePayloadData) // 1007
	ClosePolicyViolation    = CloseCode(ws.StatusPolicyViolation)         // 1008
	CloseMessageTooBig      = CloseCode(ws.StatusMessageTooBig)           // 1009
	CloseMandatoryExtension = CloseCode(ws.StatusMandatoryExt)            // 1010
	CloseInternalError      = CloseCode(ws.StatusInternalServerError)     // 1011
	CloseServiceRestart     = CloseCode(1012)
	CloseTryAgainLater      = CloseCode(1013)
	CloseBadGateway         = CloseCode(1014)
)

// maxReason is how many bytes of a control frame the code leaves for the reason.
const maxReason = MaxControlPayload - 2

// sendable reports whether c can be in a close frame. The check of gobwas/ws does not
// know 1012 to 1014.
func (c CloseCode) sendable() bool {
	switch {
	case CloseNormal <= c && c <= CloseUnsupportedData: // 7.4.1; the next three are never sent
		return true
	case CloseInvalidData <= c && c <= CloseBadGateway: // 7.4.1 and the registry of 11.7
		return true
	default: // 7.4.2: for libraries and applications
		return ws.StatusCode(c).IsApplicationSpec() || ws.StatusCode(c).IsPrivateSpec()
	}
}

// AppendClose appends a server's close frame. The reason is for people; it is cut to
// 123 bytes, at the end of a character. [CloseNoStatus] makes a frame without code and
// reason. Other codes that RFC 6455 section 7.4 does not allow in a frame panic.
func AppendClose(dst []byte, code CloseCode, reason string) []byte {
	var body [MaxControlPayload]byte
	return Append(dst, OpClose, AppendCloseBody(body[:0], code, reason))
}

// AppendCloseBody appends the payload of a close frame, as [AppendClose] does.
func AppendCloseBody(dst []byte, code CloseCode, reason string) []byte {
	if code == CloseNoStatus {
		return dst
	}
	if !code.sendable() {
		panic(fmt.Sprintf("BUG: close code %d cannot be sent", code))
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, cutReason(reason)...)
}

// cutReason makes a reason fit a frame (sections 5.5 and 5.5.1).
func cutReason(s string) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= maxReason {
		return s
	}
	end := maxReason
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// ParseClose returns code and reason in the payload of a close frame that a [Decoder]
// has returned. Without a code it is [CloseNoStatus] (RFC 6455 section 7.1.5).
func ParseClose(payload []byte) (code CloseCode, reason string) {
	if len(payload) < 2 {
		return CloseNoStatus, ""
	}
	return CloseCode(binary.BigEndian.Uint16(payload)), string(payload[2:])
}

// checkClose checks the payload of a peer's close frame.
func checkClose(payload []byte) *Error {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) == 1 { // 5.5.1: if there is a body, it begins with a 2-byte code
		return protocolError("close frame with half a code")
	}
	if code := CloseCode(binary.BigEndian.Uint16(payload)); !code.sendable() {
		return protocolError("close frame with a code that may not be sent") // 7.4
	}
	if !utf8.Valid(payload[2:]) { // 5.5.1, 8.1
		return &Error{CloseInvalidData, "close reason is not UTF-8"}
	}
	return nil
}
