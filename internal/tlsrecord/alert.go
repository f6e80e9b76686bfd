// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import "fmt"

// An Alert is the description of an alert (RFC 8446 section 6). As an error it is an
// alert that this side sends to its peer.
type Alert uint8

// The alerts that a session sends, and two that it only receives.
const (
	CloseNotify       Alert = 0
	UnexpectedMessage Alert = 10
	BadRecordMAC      Alert = 20
	RecordOverflow    Alert = 22
	IllegalParameter  Alert = 47
	DecodeError       Alert = 50
	InternalError     Alert = 80
	UserCanceled      Alert = 90
)

var alertNames = map[Alert]string{
	CloseNotify:       "close_notify",
	UnexpectedMessage: "unexpected_message",
	BadRecordMAC:      "bad_record_mac",
	RecordOverflow:    "record_overflow",
	IllegalParameter:  "illegal_parameter",
	DecodeError:       "decode_error",
	InternalError:     "internal_error",
	UserCanceled:      "user_canceled",
}

// String returns the alert's name in RFC 8446, or its number.
func (a Alert) String() string {
	if name, ok := alertNames[a]; ok {
		return name
	}
	return fmt.Sprintf("alert %d", uint8(a))
}

func (a Alert) Error() string { return "tlsrecord: " + a.String() }

// A PeerAlert is an alert that the peer has sent to this side.
type PeerAlert Alert

func (a PeerAlert) Error() string { return "tlsrecord: the peer sent " + Alert(a).String() }
