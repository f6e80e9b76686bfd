// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventtypes

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds on what the validator is given. It compares numbers exactly, as
// fractions of integers: for 1e1000000 it would write a million digits, again
// for each keyword.
const (
	maxNumberLen = 400 // characters; more than any float64 needs when written out
	maxExponent  = 400 // positive or negative; more than any float64 has
	// maxDepth is how deep a payload can be nested. The validator reports a
	// problem at each level, each with the whole path to it.
	maxDepth = 200
	// maxPattern is the longest regular expression, in characters; maxProgram
	// is the most instructions it can compile to.
	maxPattern = 4096
	maxProgram = 10_000
)

// checkBounds returns the first bound that a JSON value exceeds, or nil. The
// field of the error is the path inside the value, below name.
func checkBounds(name string, value any) *event.FieldError {
	problem, path := exceeded(value, nil)
	if problem == "" {
		return nil
	}
	return &event.FieldError{Field: strings.Join(append([]string{name}, path...), "/"), Problem: problem}
}

// exceeded returns which bound a value exceeds and where; path is the path of
// the value itself. The path is a stack: a callee appends after the caller's
// part.
func exceeded(value any, path []string) (problem string, where []string) {
	if len(path) > maxDepth {
		return fmt.Sprintf("is nested more than %d levels deep", maxDepth), path[:1]
	}
	switch v := value.(type) {
	case json.Number:
		return numberProblem(string(v)), path
	case map[string]any:
		for key, item := range v {
			if problem, where := exceeded(item, append(path, key)); problem != "" {
				return problem, where
			}
		}
	case []any:
		for i, item := range v {
			if problem, where := exceeded(item, append(path, strconv.Itoa(i))); problem != "" {
				return problem, where
			}
		}
	}
	return "", nil
}

// numberProblem returns what is wrong with a JSON number, or "".
func numberProblem(text string) string {
	if len(text) > maxNumberLen {
		return fmt.Sprintf("is a number of %d characters; want at most %d", len(text), maxNumberLen)
	}
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return ""
	}
	// Atoi fails on what an int does not hold, which is too much anyway.
	if e, err := strconv.Atoi(text[i+1:]); err != nil || e > maxExponent || e < -maxExponent {
		return fmt.Sprintf("is a number with an exponent beyond ±%d", maxExponent)
	}
	return ""
}

// parsePattern parses a regular expression within the bounds.
func parsePattern(text string) (*syntax.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("a regular expression of %d characters; want at most %d", len(text), maxPattern)
	}
	return syntax.Parse(text, syntax.Perl)
}

// compilePattern is the [jsonschema.RegexpEngine] of a checker, which is
// charged for each match.
func (c *checker) compilePattern(text string) (jsonschema.Regexp, error) {
	parsed, err := parsePattern(text)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if n := len(program.Inst); n > maxProgram {
		return nil, fmt.Errorf("the regular expression %.40q compiles to %d instructions; want at most %d", text, n, maxProgram)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re, c, len(program.Inst)}, nil
}

// A pattern is a regular expression of package regexp, which matches in time
// proportional to its size and the text's. It charges its checker for that.
type pattern struct {
	*regexp.Regexp
	checker *checker
	size    int // instructions
}

// matchUnit is how many instructions times bytes count as one step.
const matchUnit = 128

// MatchString implements [jsonschema.Regexp].
func (p *pattern) MatchString(s string) bool {
	p.checker.charge(p.size * len(s) / matchUnit)
	return p.Regexp.MatchString(s)
}

// regexFormat is the format "regex" of JSON Schema, for strings that are
// regular expressions.
var regexFormat = &jsonschema.Format{Name: "regex", Validate: func(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	if _, err := parsePattern(text); err != nil {
		return errors.New("it is not a regular expression or is too long")
	}
	return nil
}}
