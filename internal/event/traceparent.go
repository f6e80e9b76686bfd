// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import "bytes"

// A Traceparent names a span of a distributed trace, in version 00 of the traceparent
// header (W3C Trace Context level 1). Empty is none:
//
//	00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//	version, trace id, span id, flags
//
// [ParseTraceparent] makes all others, so they are valid.
type Traceparent string

// Offsets of the fields of a traceparent (Trace Context level 1, section 3.2.2).
const (
	traceAt        = 3
	spanAt         = traceAt + 32 + 1
	flagsAt        = spanAt + 16 + 1
	traceparentLen = flagsAt + 2
)

// flagSampled says that the caller may have recorded its span (section 3.2.2.5).
const flagSampled = 1

// ParseTraceparent parses the value of a traceparent header. If it is invalid it must
// be ignored: ok is false and t is empty. A header of a higher version is parsed as far
// as version 00 goes, and becomes version 00 with no flag but sampled (sections 3.2.4
// and 4.3).
func ParseTraceparent(header []byte) (t Traceparent, ok bool) {
	if len(header) < traceparentLen {
		return "", false
	}
	fixed := header[:traceparentLen]
	if !wellFormed(fixed) {
		return "", false
	}
	rest := header[traceparentLen:]
	switch version := string(fixed[:2]); {
	case version == "00" && len(rest) == 0:
		return Traceparent(fixed), true
	case version == "00" || version == "ff" || len(rest) > 0 && rest[0] != '-':
		return "", false
	default:
		return downgraded(fixed), true
	}
}

// wellFormed reports whether b has the fields of version 00, in any version.
func wellFormed(b []byte) bool {
	for i, c := range b {
		if i == traceAt-1 || i == spanAt-1 || i == flagsAt-1 {
			if c != '-' {
				return false
			}
		} else if !isLowerHex(c) {
			return false
		}
	}
	return !allZero(b[traceAt:spanAt-1]) && !allZero(b[spanAt:flagsAt-1])
}

// downgraded returns the fields of a later version as version 00.
func downgraded(b []byte) Traceparent {
	text := bytes.Clone(b)
	copy(text, "00")
	text[flagsAt] = '0'
	text[flagsAt+1] = '0' + hexValue(text[flagsAt+1])&flagSampled
	return Traceparent(text)
}

func isLowerHex(b byte) bool { return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' }

// hexValue returns the value of a lower-case hexadecimal digit.
func hexValue(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return b - 'a' + 10
}

func allZero(hex []byte) bool { return len(bytes.Trim(hex, "0")) == 0 }

// TraceID returns the trace id, 32 hexadecimal digits. TraceID, SpanID and Sampled
// panic on an empty Traceparent.
func (t Traceparent) TraceID() string { return string(t[traceAt : spanAt-1]) }

// SpanID returns the span id, 16 hexadecimal digits.
func (t Traceparent) SpanID() string { return string(t[spanAt : flagsAt-1]) }

// Sampled reports whether the span may have been recorded.
func (t Traceparent) Sampled() bool { return hexValue(t[flagsAt+1])&flagSampled != 0 }
