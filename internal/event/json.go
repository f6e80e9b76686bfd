// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/json"
	"time"
)

// TimeFormat is the format of every timestamp: RFC 3339 in UTC, always with
// nanoseconds.
const TimeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// AppendTime appends t as JSON in [TimeFormat]; the zero time is null.
func AppendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, `null`...)
	}
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, TimeFormat)
	return append(dst, '"')
}

// AppendString appends s as a JSON string. Invalid UTF-8 in it becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < 0x20 || b == '"' || b == '\\' || b >= 0x80 {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a string does not marshal: " + err.Error())
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
