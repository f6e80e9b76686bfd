// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventtypes

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxSteps bounds what checking one payload may cost. A step is one schema applied to
// one value, about a microsecond. Schemas that refer to themselves under anyOf can
// need a number that doubles with every level of the payload.
const maxSteps = 250_000

// A set is the schemas of one file, and those who check with them: one for each
// processor, because a schema charges what it does to its checker.
type set struct {
	docs     map[string]any // JSON Schemas by event type
	checkers chan *checker
}

// newSet compiles every schema once, which finds what is wrong with them.
func newSet(docs map[string]any) (*set, error) {
	s := &set{docs: docs, checkers: make(chan *checker, runtime.GOMAXPROCS(0))}
	for range cap(s.checkers) {
		s.checkers <- &checker{set: s, schemas: make(map[string]*jsonschema.Schema)}
	}
	c := <-s.checkers
	defer func() { s.checkers <- c }()
	for name := range docs {
		if _, err := c.schema(name); err != nil {
			return nil, fmt.Errorf("the schema of %s: %w", name, err)
		}
	}
	return s, nil
}

// A checker checks one payload at a time.
type checker struct {
	set       *set
	schemas   map[string]*jsonschema.Schema // by event type, compiled when they are first needed
	stepsLeft int                           // steps
}

// schema returns the schema of an event type of the set.
func (c *checker) schema(name string) (*jsonschema.Schema, error) {
	if s := c.schemas[name]; s != nil {
		return s, nil
	}
	s, err := c.compile(name, c.set.docs[name])
	if err != nil {
		return nil, err
	}
	c.schemas[name] = s
	return s, nil
}

// compile compiles the schema of a type. It may refer to itself, and to nothing else.
func (c *checker) compile(name string, doc any) (*jsonschema.Schema, error) {
	if wrong := checkBounds("schema", doc); wrong != nil {
		return nil, wrong
	}
	c.stepsLeft = math.MaxInt / 2 // compiling is not charged
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(c.compilePattern)
	compiler.RegisterFormat(regexFormat)
	compiler.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: "gatecast:steps",
		Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) {
			return step{c}, nil
		},
	})
	compiler.AssertVocabs()
	url := "gatecast:" + name
	if err := compiler.AddResource(url, doc); err != nil {
		return nil, err
	}
	return compiler.Compile(url)
}

// A step is part of every schema of a checker.
type step struct{ checker *checker }

// Validate implements [jsonschema.SchemaExt]. A complaint copies the path to its value.
func (s step) Validate(ctx *jsonschema.ValidatorContext, _ any) {
	s.checker.charge(1 + len(ctx.ValueLocation())/8)
}

// errTooManySteps is what a check that costs too much panics with: the validator has
// no other way out.
var errTooManySteps = errors.New("too many steps")

// charge counts steps. Only while validate runs is there somebody to stop.
func (c *checker) charge(steps int) {
	if c.stepsLeft -= steps; c.stepsLeft < 0 {
		panic(errTooManySteps)
	}
}

// validate checks a value against a schema. It returns [errTooManySteps], or what the
// validator says.
func (c *checker) validate(schema *jsonschema.Schema, value any) (err error) {
	c.stepsLeft = maxSteps
	defer func() {
		if v := recover(); v == errTooManySteps {
			err = errTooManySteps
		} else if v != nil {
			panic(v)
		}
	}()
	return schema.Validate(value)
}

// check returns what is wrong with a payload, as [Types.Check] does.
func (s *set) check(eventType string, value any) *event.FieldError {
	c := <-s.checkers
	defer func() { s.checkers <- c }()
	schema, err := c.schema(eventType)
	if err != nil { // it compiled before
		return &event.FieldError{Field: "payload", Problem: err.Error()}
	}
	err = c.validate(schema, value)
	if errors.Is(err, errTooManySteps) {
		return &event.FieldError{Field: "payload", Problem: fmt.Sprintf("takes more than %d steps to check against the schema of %s", maxSteps, eventType)}
	}
	return validationProblem(err)
}

// nowhere is where schemas that others refer to are.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, &fs.PathError{Op: "load", Path: url, Err: errors.New("a schema may refer to itself only")}
}
