// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// maxDepth is the deepest nesting of values, the outermost included.
// encoding/json has the same limit.
const maxDepth = 10000

// faults are problems of a value that is valid JSON. They are bits.
type faults uint8

const (
	notUTF8       faults = 1 << iota // a string has bytes that are not UTF-8
	surrogateHalf                    // a string has the escape of half a surrogate pair
	repeatedNames                    // an object has a name twice; found only if unique is set
)

// A scanner reads JSON text. Each method reads what it is named for, leaves at
// after it, and reports whether it was there. After a method has reported
// false, at is anywhere.
type scanner struct {
	text   []byte
	at     int  // offset of the next byte
	unique bool // look for repeated names

	// What was found since reset.
	spaced       bool // white space
	escapes      bool // a string with escapes
	faults       faults
	repeatedName []byte // the first name that repeats
}

// reset forgets what was found.
func (s *scanner) reset() { s.spaced, s.escapes, s.faults = false, false, 0 }

// value reads any value. depth is its nesting level, 1 for the outermost.
func (s *scanner) value(depth int) bool {
	if s.at == len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"':
		return s.quoted()
	case '{':
		if s.unique {
			return s.uniqueObject(depth)
		}
		return s.object(depth)
	case '[':
		return s.array(depth)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

// array reads an array; the bracket is next.
func (s *scanner) array(depth int) bool {
	s.at++
	if s.space(); s.eat(']') {
		return depth <= maxDepth
	}
	for depth <= maxDepth && s.value(depth+1) {
		if s.space(); s.eat(']') {
			return true
		}
		if !s.comma() {
			return false
		}
	}
	return false
}

// object reads an object; the brace is next.
func (s *scanner) object(depth int) bool {
	s.at++
	if s.space(); s.eat('}') {
		return depth <= maxDepth
	}
	for depth <= maxDepth && s.quoted() && s.colon() && s.value(depth+1) {
		if s.space(); s.eat('}') {
			return true
		}
		if !s.comma() {
			return false
		}
	}
	return false
}

// uniqueObject is object, and looks for repeated names. It is a function of its
// own, because comparing names costs more than scanning them.
func (s *scanner) uniqueObject(depth int) bool {
	var names nameSet
	s.at++
	if s.space(); s.eat('}') {
		return depth <= maxDepth
	}
	for depth <= maxDepth {
		start := s.at
		s.escapes = false
		if !s.quoted() {
			return false
		}
		name := s.text[start+1 : s.at-1]
		if s.escapes {
			name = []byte(unescape(s.text[start:s.at]))
		}
		if !names.add(name) && s.faults&repeatedNames == 0 {
			s.faults |= repeatedNames
			s.repeatedName = name
		}
		if !s.colon() || !s.value(depth+1) {
			return false
		}
		if s.space(); s.eat('}') {
			return true
		}
		if !s.comma() {
			return false
		}
	}
	return false
}

// comma reads a comma and the white space after it.
func (s *scanner) comma() bool {
	ok := s.eat(',')
	s.space()
	return ok
}

// colon reads a colon and the white space around it.
func (s *scanner) colon() bool {
	s.space()
	ok := s.eat(':')
	s.space()
	return ok
}

// plain are the bytes that a string contains as they are: ASCII except control
// characters, quotes and backslashes.
var plain = func() (t [256]bool) {
	for b := ' '; b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// quoted reads a string with its quotes.
func (s *scanner) quoted() bool {
	if !s.eat('"') {
		return false
	}
	for {
		text := s.text[s.at:]
		i := 0
		for i < len(text) && plain[text[i]] {
			i++
		}
		s.at += i
		switch {
		case i == len(text):
			return false
		case text[i] == '"':
			s.at++
			return true
		case text[i] == '\\':
			if !s.escape() {
				return false
			}
		case text[i] < ' ':
			return false
		default:
			s.character()
		}
	}
}

// character reads one character that is not ASCII.
func (s *scanner) character() {
	r, n := utf8.DecodeRune(s.text[s.at:])
	if r == utf8.RuneError && n == 1 {
		s.faults |= notUTF8
	}
	s.at += n
}

// escape reads a backslash and what it escapes. A surrogate pair is two
// escapes, which are read together.
func (s *scanner) escape() bool {
	s.escapes = true
	s.at++
	if s.at == len(s.text) {
		return false
	}
	b := s.text[s.at]
	s.at++
	if b != 'u' {
		return strings.IndexByte(`"\/bfnrt`, b) >= 0
	}
	r, ok := s.hex()
	switch {
	case !ok:
		return false
	case r < 0xd800 || r > 0xdfff:
	case r < 0xdc00 && bytes.HasPrefix(s.text[s.at:], []byte(`\u`)):
		before := s.at
		s.at += len(`\u`)
		if r, ok = s.hex(); !ok {
			return false
		}
		if r < 0xdc00 || r > 0xdfff {
			s.faults |= surrogateHalf
			s.at = before // it is an escape of its own
		}
	default:
		s.faults |= surrogateHalf
	}
	return true
}

// hex reads four hexadecimal digits.
func (s *scanner) hex() (v uint16, ok bool) {
	for range 4 {
		if s.at == len(s.text) {
			return 0, false
		}
		b := s.text[s.at]
		s.at++
		switch {
		case '0' <= b && b <= '9':
			v = v<<4 | uint16(b-'0')
		case 'a' <= b|0x20 && b|0x20 <= 'f':
			v = v<<4 | uint16(b|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// number reads a number (RFC 8259 section 6).
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

// digits reads one or more digits.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// literal reads true, false or null.
func (s *scanner) literal(word string) bool {
	ok := bytes.HasPrefix(s.text[s.at:], []byte(word))
	if ok {
		s.at += len(word)
	}
	return ok
}

// eat reads one byte if it is the next.
func (s *scanner) eat(b byte) bool {
	ok := s.at < len(s.text) && s.text[s.at] == b
	if ok {
		s.at++
	}
	return ok
}

// space reads white space, if there is any. It is small enough to be inlined.
func (s *scanner) space() {
	if s.at < len(s.text) && s.text[s.at] <= ' ' {
		s.spaces()
	}
}

// spaces reads white space in a loop.
func (s *scanner) spaces() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
			s.spaced = true
		default:
			return
		}
	}
}
