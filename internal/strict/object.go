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

// ErrSyntax is wrapped by the errors of [Object.Err] about text that is not one
// JSON object. All other errors of it are [*FieldError] values.
var ErrSyntax = errors.New("the body is not one JSON object")

// An Object reads the members of one JSON object, in one pass and without
// reflection:
//
//	o := strict.Read(text)
//	for o.Next() {
//		switch string(o.Name()) {
//		case "type":
//			t = o.String()
//		default:
//			o.Fail("is not a field of this request")
//		}
//	}
//	return o.Err()
//
// Names are compared without their escapes and with letter case; a name that
// appears twice is an error. A byte order mark before the text is skipped, as
// RFC 8259 section 8.1 permits. Nesting is limited to maxDepth.
//
// The text must not change while it is read. Objects inside a member are read
// as text: their names can repeat unless [Object.Unique] was called. One
// goroutine uses an Object.
type Object struct {
	scanner
	original     []byte // with its byte order mark
	names        nameSet
	name         []byte      // of the current member, unescaped
	started      bool        // the opening brace was read
	valueUnread  bool        // the value of the current member was not read yet
	done         bool        // the closing brace was read
	invalid      bool        // the text is not one JSON object
	firstProblem *FieldError // the first
}

// Read returns an object that reads text. It allocates nothing.
func Read(text []byte) Object {
	return Object{original: text, scanner: scanner{text: TrimBOM(text)}}
}

// Unique makes a repeated name an error in objects inside members too, at any
// depth.
func (o *Object) Unique() { o.unique = true }

// Next advances to the next member, and reports whether there is one. It skips
// the value of the current member if it was not read.
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

// nextName reads a name, the colon and the white space around it.
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
		o.Fail("appears twice")
	}
	o.reset()
	o.valueUnread = true
	return true
}

// end notes the closing brace. Only white space can follow it.
func (o *Object) end() bool {
	o.done = true
	if o.space(); o.at < len(o.text) {
		o.invalid = true
	}
	return false
}

// syntaxError notes that the text is not one JSON object.
func (o *Object) syntaxError() bool {
	o.invalid = true
	return false
}

// Name returns the name of the current member. It is valid until the next call
// of Next.
func (o *Object) Name() []byte { return o.name }

// WrongCase reports whether the current name equals one of the names except for
// letter case.
func (o *Object) WrongCase(names ...string) bool {
	for _, n := range names {
		if strings.EqualFold(n, string(o.name)) && n != string(o.name) {
			return true
		}
	}
	return false
}

// Fail says that the current member is invalid. Only the first problem counts.
func (o *Object) Fail(problem string) { o.fail(-1, problem) }

// fail is Fail for item i of the member, or for the whole member if i is
// negative.
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

// skip reads over the current value.
func (o *Object) skip() { o.Raw() }

// Raw returns the text of the current value, a part of the whole text. It can
// contain escapes of surrogate halves, which are passed on unchanged.
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

// surrogateProblem is the problem with a string that RFC 8259 section 8.2 calls
// unpredictable.
const surrogateProblem = `has half of a surrogate pair, such as \ud800; want valid Unicode`

// Spaced reports whether the value that was read last had white space outside
// its strings.
func (o *Object) Spaced() bool { return o.spaced }

// IsString reports whether the current value is a string.
func (o *Object) IsString() bool { return o.at < len(o.text) && o.text[o.at] == '"' }

// Null reads the current value if it is null, and reports whether it was.
func (o *Object) Null() bool {
	if o.at < len(o.text) && o.text[o.at] == 'n' && o.literal("null") {
		o.valueUnread = false
		return true
	}
	return false
}

// String returns the current value, which must be a string.
func (o *Object) String() string {
	o.valueUnread = false
	s, _ := o.stringItem(-1, true)
	return s
}

// Text is String for text that only people read: surrogate halves become
// U+FFFD.
func (o *Object) Text() string {
	o.valueUnread = false
	s, _ := o.stringItem(-1, false)
	return s
}

// stringItem reads a string: the value of the member or, unless i is negative,
// item i of it. With whole, surrogate halves are a problem. ok is false if
// nothing after it can be read.
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

// mismatch reads over a value of a wrong type. It reports whether more can be
// read.
func (o *Object) mismatch(i int, want string) bool {
	kind := kindOf(o.text[o.at:])
	if !o.value(2) {
		o.invalid = true
		return false
	}
	o.fail(i, "is a JSON "+kind+"; want "+want)
	return true
}

// Bool returns the current value, which must be true or false.
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

// Strings returns the current value, which must be an array of strings. The
// result is never nil.
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

// Err returns what is wrong with the text. Call it after Next has reported
// false. Syntax errors, which wrap [ErrSyntax], have precedence over the first
// problem with a member, a [*FieldError].
func (o *Object) Err() error {
	switch {
	case o.invalid:
		return fmt.Errorf("%w: %w", ErrSyntax, explain(o.original))
	case o.firstProblem != nil:
		return o.firstProblem
	}
	return nil
}

// explain returns why text is not one JSON object. It parses the text again,
// with a parser that has better messages.
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
	return errors.New("more text follows it")
}

// Check returns what is wrong with a JSON value that will be interpreted and
// not only passed on: a repeated name, or a string that is not Unicode. It
// returns nil for text that is not JSON.
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

// kindOf names the type of the JSON value at the beginning of text.
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

// unescape returns the value of a JSON string.
func unescape(quoted []byte) (s string) {
	if err := json.Unmarshal(quoted, &s); err != nil {
		return strings.ToValidUTF8(string(quoted), string(utf8.RuneError))
	}
	return s
}

// A nameSet holds the names of an object's members. Most objects have few:
// these need no map.
type nameSet struct {
	few  [8][]byte
	n    int
	many map[string]struct{} // those beyond few
}

// add adds a name, which it keeps, and reports whether it is new.
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
