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

// Bounds on what the validator is given. It compares numbers exactly, as fractions of
// integers: of 1e1000000 it would write out a million digits, again for each keyword.
const (
	maxNumberLen = 400 // characters: more than any float64 has, written out
	maxExponent  = 400 // up or down: more than any float64 has
	// maxDepth is how deeply a payload may be nested. The validator keeps the whole path
	// with each of its complaints, of which there is one at each level.
	maxDepth = 200
	// maxPattern is how long a regular expression may be, in characters, and
	// maxProgram how many instructions it may compile to.
	maxPattern = 4096
	maxProgram = 10_000
)

// checkBounds returns what is too large in a JSON value for the validator, nil when
// nothing is. The field of the error is the place inside the value, below name.
func checkBounds(name string, value any) *event.FieldError {
	problem, path := exceeded(value, nil)
	if problem == "" {
		return nil
	}
	return &event.FieldError{Field: strings.Join(append([]string{name}, path...), "/"), Problem: problem}
}

// beyond returns what is too large in a value and where, path being where the value
// is. The path is a stack: callers go on with theirs.
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

// numberProblem returns what is wrong with a JSON number; empty for nothing.
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

// parsePattern parses a regular expression that is not too large.
func parsePattern(text string) (*syntax.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("a regular expression of %d characters; want at most %d", len(text), maxPattern)
	}
	return syntax.Parse(text, syntax.Perl)
}

// compilePattern is the [jsonschema.RegexpEngine] of a checker: what matching costs is
// charged to it.
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

// A pattern is a regular expression that matches in time proportional to its size
// and the text's, and charges for it.
type pattern struct {
	*regexp.Regexp
	checker *checker
	size    int // instructions
}

// matchUnit is how many instructions over how many bytes count as one step.
const matchUnit = 128

func (p *pattern) MatchString(s string) bool {
	p.checker.charge(p.size * len(s) / matchUnit)
	return p.Regexp.MatchString(s)
}

// regexFormat is the format "regex", for texts that are expressions themselves.
var regexFormat = &jsonschema.Format{Name: "regex", Validate: func(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	if _, err := parsePattern(text); err != nil {
		return errors.New("it is not a regular expression, or too long")
	}
	return nil
}}
