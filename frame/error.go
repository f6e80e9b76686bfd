// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import "fmt"

// An Error is a violation of the protocol by the peer. The connection is closed with
// its code and reason (RFC 6455 section 7.1.7).
type Error struct {
	Code   CloseCode
	Reason string // fits a close frame; contains nothing that the peer sent
}

func (e *Error) Error() string { return fmt.Sprintf("%s (close code %d)", e.Reason, e.Code) }

// protocolError returns an error with close code 1002 (section 7.4.1).
func protocolError(reason string) *Error { return &Error{CloseProtocolError, reason} }
