// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// ErrSyntax is wrapped by errors of [Object.Err] about text that is not one JSON
// object; anything else it returns is a [*FieldError].
var ErrSyntax = errors.New("the body is not one JSON object")

// An Object reads the members of one JSON object, in one pass:
//
//	o := strict.Read(text)
//	for o.Next() {
//		switch string(o.Name()) {
//		case "type":
//			t = o.String()
//		default:
//			o.Fail("is not a field of this")
//		}
//	}
//	return o.Err()
//
// A name counts as what its escapes stand for, in exactly its letters; one that is
// there twice is an error. A byte order mark before the text is skipped, as RFC
// 8259 section 8.1 lets a reader do. White space and depth are bounded by the
// text's length and by maxDepth.
//
// The text must not change while it is read. Inner objects are read as text, whose
// names may repeat unless [Object.Unique] was called.
type Object struct {
	scanner
	original     []byte // with its byte order mark
	names        nameSet
	name         []byte
	started      bool
	valueUnread  bool // the member's value
	done         bool
	invalid      bool
	firstProblem *FieldError // the first
}

// Read returns an object that reads text.
func Read(text []byte) Object {
	return Object{original: text, scanner: scanner{text: TrimBOM(text)}}
}

// Unique makes it an error that an object inside a member has a name twice, at any
// depth.
func (o *Object) Unique() { o.unique = true }

// Next goes on to the next member, and reports whether there is one.
func (o *Object) Next() bool {
	if o.valueUnread {
		o.skip()
	}
	if o.invalid || o.done {
		return false
	}
	o.space()
	switch {
	case !o.started:
		o.started = true
		if !o.eat('{') {
			return o.syntaxError()
		}
		if o.space(); o.eat('}') {
			return o.end()
		}
	case o.eat('}'):
		return o.end()
	case !o.eat(','):
		return o.syntaxError()
	default:
		o.space()
	}
	return o.nextName()
}

// nextName takes a name, the colon and the space around it.
func (o *Object) nextName() bool {
	o.reset()
	start := o.at
	if !o.quoted() {
		return o.syntaxError()
	}
	o.name = o.text[start+1 : o.at-1]
	if o.escapes {
		o.name = []byte(unescape(o.text[start:o.at]))
	}
	if o.space(); !o.eat(':') {
		return o.syntaxError()
	}
	o.space()
	if o.faults&(notUTF8|surrogateHalf) != 0 {
		o.Fail("the name is not valid Unicode")
	} else if !o.names.add(o.name) {
		o.Fail("is there twice")
	}
	o.reset()
	o.valueUnread = true
	return true
}

func (o *Object) end() bool {
	o.done = true
	if o.space(); o.at < len(o.text) {
		o.invalid = true
	}
	return false
}

func (o *Object) syntaxError() bool {
	o.invalid = true
	return false
}

// Name returns the name of the member at hand, until the next.
func (o *Object) Name() []byte { return o.name }

// Misspelt reports whether the member at hand is one of the names but for its
// letters' case.
func (o *Object) WrongCase(names ...string) bool {
	for _, n := range names {
		if strings.EqualFold(n, string(o.name)) && n != string(o.name) {
			return true
		}
	}
	return false
}

// Fail says that the member at hand cannot stand. Only the first problem counts.
func (o *Object) Fail(problem string) { o.fail(-1, problem) }

// fail is Fail of item i of the member, unless i is negative.
func (o *Object) fail(i int, problem string) {
	if o.firstProblem != nil {
		return
	}
	field := strings.ToValidUTF8(string(o.name), "\ufffd")
	if i >= 0 {
		field = fmt.Sprintf("%s[%d]", field, i)
	}
	o.firstProblem = &FieldError{field, problem}
}

// skip passes over the value at hand.
func (o *Object) skip() { o.Raw() }

// Raw returns the text of the value at hand, a part of the whole. It may have the
// escapes of halves of characters, which it passes on as they are.
func (o *Object) Raw() []byte {
	o.valueUnread = false
	start := o.at
	if !o.value(2) {
		o.invalid = true
		return nil
	}
	switch {
	case o.faults&notUTF8 != 0:
		o.Fail("is not valid UTF-8")
	case o.faults&repeatedNames != 0:
		o.Fail(fmt.Sprintf("has the name %q twice in one object", o.repeatedName))
	}
	return o.text[start:o.at]
}

const surrogateProblem = `has an escape that is half of a character, as \ud800 is; want valid Unicode`

// Spaced reports whether there was white space in the value that was read last,
// outside its strings.
func (o *Object) Spaced() bool { return o.spaced }

// IsString reports whether the value at hand is a string.
func (o *Object) IsString() bool { return o.at < len(o.text) && o.text[o.at] == '"' }

// Null takes the value at hand if it is null.
func (o *Object) Null() bool {
	if o.at < len(o.text) && o.text[o.at] == 'n' && o.literal("null") {
		o.valueUnread = false
		return true
	}
	return false
}

// String returns the value at hand, which must be a string.
func (o *Object) String() string {
	o.valueUnread = false
	s, _ := o.stringItem(-1, true)
	return s
}

// Text is String for what only people read: halves of characters become U+FFFD.
func (o *Object) Text() string {
	o.valueUnread = false
	s, _ := o.stringItem(-1, false)
	return s
}

// stringAt takes a string, the member's value or, unless i is negative, item i of
// it; ok is false when there is no reading on behind it.
func (o *Object) stringItem(i int, whole bool) (s string, ok bool) {
	start := o.at
	if o.at < len(o.text) && o.text[o.at] != '"' {
		return "", o.mismatch(i, "a string")
	}
	o.reset()
	if !o.quoted() {
		o.invalid = true
		return "", false
	}
	switch {
	case o.faults&notUTF8 != 0:
		o.fail(i, "is not valid UTF-8")
	case whole && o.faults&surrogateHalf != 0:
		o.fail(i, surrogateProblem)
	case !o.escapes:
		return string(o.text[start+1 : o.at-1]), true
	}
	return unescape(o.text[start:o.at]), true
}

// mismatch passes over a value of a wrong kind.
func (o *Object) mismatch(i int, want string) bool {
	kind := kindOf(o.text[o.at:])
	if !o.value(2) {
		o.invalid = true
		return false
	}
	o.fail(i, "is a JSON "+kind+"; want "+want)
	return true
}

// Bool returns the value at hand, which must be true or false.
func (o *Object) Bool() bool {
	o.valueUnread = false
	switch {
	case o.at == len(o.text):
		o.invalid = true
	case o.text[o.at] == 't' && o.literal("true"):
		return true
	case o.text[o.at] == 'f' && o.literal("false"):
	default:
		o.mismatch(-1, "true or false")
	}
	return false
}

// Strings returns the value at hand, which must be an array of strings. It is not
// nil.
func (o *Object) Strings() []string {
	list := []string{}
	o.valueUnread = false
	if o.at < len(o.text) && o.text[o.at] != '[' {
		o.mismatch(-1, "an array of strings")
		return list
	}
	o.eat('[')
	if o.space(); o.eat(']') {
		return list
	}
	for {
		s, ok := o.stringItem(len(list), true)
		if !ok {
			return list
		}
		list = append(list, s)
		if o.space(); o.eat(']') {
			return list
		}
		if !o.eat(',') {
			o.invalid = true
			return list
		}
		o.space()
	}
}

// Err returns what is wrong with the text, when Next has reported false: an error
// that wraps [ErrSyntax], else the first problem with a member as a [*FieldError].
func (o *Object) Err() error {
	switch {
	case o.invalid:
		return fmt.Errorf("%w: %w", ErrSyntax, explain(o.original))
	case o.firstProblem != nil:
		return o.firstProblem
	}
	return nil
}

// explain says why text is not one JSON object.
func explain(text []byte) error {
	text, err := Text(text)
	if err != nil {
		return err
	}
	var value json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text))
	switch err := dec.Decode(&value); {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case err != nil:
		return err
	}
	if kind := kindOf(value); kind != "object" {
		return errors.New("it is a JSON " + kind)
	}
	return errors.New("something follows it")
}

// Check returns what is wrong with a JSON value that is to be read and not only
// passed on: a name that is twice in one object, or a string that is not Unicode. It
// is nil for what is no JSON at all.
func Check(value []byte) error {
	s := scanner{text: value, unique: true}
	s.space()
	switch ok := s.value(1); {
	case !ok:
		return nil
	case s.faults&notUTF8 != 0:
		return errors.New("is not valid UTF-8")
	case s.faults&surrogateHalf != 0:
		return errors.New(surrogateProblem)
	case s.faults&repeatedNames != 0:
		return fmt.Errorf("has the name %q twice in one object", s.repeatedName)
	}
	return nil
}

// kindOf names the kind of the JSON value that text begins with.
func kindOf(text []byte) string {
	if len(text) == 0 {
		return "text that ends"
	}
	switch text[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// unescape returns what a JSON string stands for.
func unescape(quoted []byte) (s string) {
	if err := json.Unmarshal(quoted, &s); err != nil {
		return strings.ToValidUTF8(string(quoted), string(utf8.RuneError))
	}
	return s
}

// A nameSet holds the names of an object's members.
type nameSet struct {
	few  [8][]byte
	n    int
	many map[string]struct{} // the ones that few has no room for
}

// add adds a name and reports whether it is new. It keeps the name.
func (s *nameSet) add(name []byte) bool {
	for _, known := range s.few[:s.n] {
		if string(known) == string(name) {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = make(map[string]struct{})
	}
	_, known := s.many[string(name)]
	s.many[string(name)] = struct{}{}
	return !known
}
