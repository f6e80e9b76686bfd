// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"strings"
)

// A scanner reads the JSON that publishers usually send, several times faster
// than encoding/json. It gives up on everything else, which is not to say that
// it is wrong: encoding/json then has the word. What it does read, encoding/json
// reads the same; FuzzParseDraft holds that.
//
// Its methods report whether they found what they are named for, and leave the
// scanner behind it.
type scanner struct {
	text  []byte
	at    int
	loose bool // there was white space or something else than ASCII
}

// scanDepth is how deep a value may be nested before the scanner gives up.
const scanDepth = 64

// scanDraft reads one draft, if it can.
func scanDraft(text []byte) (d Draft, ok bool) {
	s := scanner{text: text}
	var seen fieldSet
	if s.space(); !s.eat('{') {
		return d, false
	}
	for first := true; ; first = false {
		s.space()
		if s.eat('}') {
			s.space()
			return d, s.at == len(text)
		}
		if !first && !s.comma() || !s.field(&d, &seen) {
			return Draft{}, false
		}
	}
}

// comma takes a comma and the white space behind it.
func (s *scanner) comma() bool {
	ok := s.eat(',')
	s.space()
	return ok
}

// A fieldSet has a bit for each field of a draft. A field that comes twice is
// left to encoding/json, which has rules for it.
type fieldSet uint8

func (f *fieldSet) add(bit uint) (isNew bool) {
	isNew = *f&(1<<bit) == 0
	*f |= 1 << bit
	return isNew
}

// field takes a name, a colon and a value.
func (s *scanner) field(d *Draft, seen *fieldSet) bool {
	name, ok := s.plain()
	if s.space(); !ok || !s.eat(':') {
		return false
	}
	s.space()
	switch string(name) {
	case "gatewayId":
		return seen.add(0) && s.stringTo(&d.GatewayID)
	case "gatewayIds":
		return seen.add(1) && s.listTo(&d.GatewayIDs)
	case "group":
		return seen.add(2) && s.stringTo(&d.Group)
	case "all":
		d.All = s.literal("true")
		return seen.add(3) && (d.All || s.literal("false"))
	case "type":
		return seen.add(4) && s.stringTo(&d.Type)
	case "payload":
		return seen.add(5) && s.payload(d)
	case "correlationId":
		return seen.add(6) && s.stringTo(&d.CorrelationID)
	case "key":
		return seen.add(7) && s.stringTo(&d.Key)
	}
	return false
}

func (s *scanner) stringTo(to *string) bool {
	text, ok := s.plain()
	*to = string(text)
	return ok
}

func (s *scanner) listTo(to *[]string) bool {
	*to = []string{}
	if !s.eat('[') {
		return false
	}
	for {
		s.space()
		if s.eat(']') {
			return true
		}
		if len(*to) > 0 && !s.comma() {
			return false
		}
		text, ok := s.plain()
		if !ok {
			return false
		}
		*to = append(*to, string(text))
	}
}

// payload takes any value and keeps its text.
func (s *scanner) payload(d *Draft) bool {
	start := s.at
	s.loose = false
	if !s.value(0) {
		return false
	}
	d.Payload = bytes.Clone(s.text[start:s.at])
	d.compact = !s.loose
	return true
}

func (s *scanner) value(depth int) bool {
	if s.at == len(s.text) || depth > scanDepth {
		return false
	}
	switch s.text[s.at] {
	case '"':
		return s.quoted()
	case '{':
		return s.list('}', depth, (*scanner).member)
	case '[':
		return s.list(']', depth, (*scanner).value)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

// list takes an object or an array from its opening bracket on.
func (s *scanner) list(end byte, depth int, item func(*scanner, int) bool) bool {
	s.at++
	if s.space(); s.eat(end) {
		return true
	}
	for {
		if !item(s, depth+1) {
			return false
		}
		if s.space(); s.eat(end) {
			return true
		}
		if !s.comma() {
			return false
		}
	}
}

// member takes a name, a colon and a value, of any object.
func (s *scanner) member(depth int) bool {
	ok := s.quoted()
	if s.space(); !ok || !s.eat(':') {
		return false
	}
	s.space()
	return s.value(depth)
}

// plain takes a string of ASCII without escapes and returns what is between its
// quotes.
func (s *scanner) plain() (text []byte, ok bool) {
	if !s.eat('"') {
		return nil, false
	}
	start := s.at
	for ; s.at < len(s.text); s.at++ {
		switch b := s.text[s.at]; {
		case b == '"':
			s.at++
			return s.text[start : s.at-1], true
		case b < ' ' || b == '\\' || b >= 0x80:
			return nil, false
		}
	}
	return nil, false
}

// quoted takes any string.
func (s *scanner) quoted() bool {
	if !s.eat('"') {
		return false
	}
	for s.at < len(s.text) {
		b := s.text[s.at]
		s.at++
		switch {
		case b == '"':
			return true
		case b < ' ' || b == '\\' && !s.escape():
			return false
		case b >= 0x80:
			s.loose = true
		}
	}
	return false
}

// escape takes what stands behind a backslash.
func (s *scanner) escape() bool {
	if s.at == len(s.text) {
		return false
	}
	b := s.text[s.at]
	s.at++
	if b != 'u' {
		return strings.IndexByte(`"\/bfnrt`, b) >= 0
	}
	for range 4 {
		if s.at == len(s.text) || !isHex(s.text[s.at]) {
			return false
		}
		s.at++
	}
	return true
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

func (s *scanner) number() bool {
	s.eat('-')
	if !s.eat('0') && !s.digits() {
		return false
	}
	if s.eat('.') && !s.digits() {
		return false
	}
	if s.eat('e') || s.eat('E') {
		_ = s.eat('+') || s.eat('-')
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

func (s *scanner) literal(word string) bool {
	ok := bytes.HasPrefix(s.text[s.at:], []byte(word))
	if ok {
		s.at += len(word)
	}
	return ok
}

// eat takes one byte, if it is the next.
func (s *scanner) eat(b byte) bool {
	ok := s.at < len(s.text) && s.text[s.at] == b
	if ok {
		s.at++
	}
	return ok
}

// space takes white space, if there is any.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
			s.loose = true
		default:
			return
		}
	}
}
