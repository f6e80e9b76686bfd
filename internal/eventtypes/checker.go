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

// maxSteps bounds the cost of checking one payload. A step is one schema
// applied to one value, which takes about a microsecond. A schema that refers
// to itself under anyOf can need twice as many steps for each level of the
// payload.
const maxSteps = 250_000

// A set holds the schemas of one file, and a checker for each processor. The
// schemas count their steps in their checker, so each checker has compiled its
// own. Any goroutine may use a set.
type set struct {
	docs     map[string]any // JSON Schemas by event type
	checkers chan *checker  // those that are not in use
}

// newSet compiles every schema once, to find errors when the file is loaded.
func newSet(docs map[string]any) (*set, error) {
	s := &set{docs: docs, checkers: make(chan *checker, runtime.GOMAXPROCS(0))}
	for range cap(s.checkers) {
		s.checkers <- &checker{set: s, schemas: make(map[string]*jsonschema.Schema)}
	}
	c := <-s.checkers
	defer func() { s.checkers <- c }()
	for name := range docs {
		if _, err := c.schema(name); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", name, err)
		}
	}
	return s, nil
}

// A checker checks one payload at a time. Whoever took it from set.checkers
// owns it.
type checker struct {
	set       *set
	schemas   map[string]*jsonschema.Schema // by event type, compiled when first needed
	stepsLeft int                           // of the current check
}

// schema returns the compiled schema of an event type in the set.
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

// compile compiles the schema of an event type. A schema can refer to parts of
// itself only, so that checking never reads files or the network.
func (c *checker) compile(name string, doc any) (*jsonschema.Schema, error) {
	if wrong := checkBounds("schema", doc); wrong != nil {
		return nil, wrong
	}
	c.stepsLeft = math.MaxInt / 2 // compiling costs no steps
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

// A step is added to every schema of a checker as a vocabulary of its own,
// because the validator has no hook that is called for each schema.
type step struct{ checker *checker }

// Validate implements [jsonschema.SchemaExt]. The validator copies the path of
// the value for each problem, so a long path costs more.
func (s step) Validate(ctx *jsonschema.ValidatorContext, _ any) {
	s.checker.charge(1 + len(ctx.ValueLocation())/8)
}

// errTooManySteps is the panic value that ends a check which costs too much.
// The validator cannot be stopped in another way.
var errTooManySteps = errors.New("too many steps")

// charge counts steps. It panics only while validate runs, which recovers.
func (c *checker) charge(steps int) {
	if c.stepsLeft -= steps; c.stepsLeft < 0 {
		panic(errTooManySteps)
	}
}

// validate checks a value against a schema. It returns [errTooManySteps] or the
// validator's error.
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

// check returns what is wrong with a payload, like [Types.Check]. It waits for
// a free checker.
func (s *set) check(eventType string, value any) *event.FieldError {
	c := <-s.checkers
	defer func() { s.checkers <- c }()
	schema, err := c.schema(eventType)
	if err != nil { // impossible: newSet has compiled it
		return &event.FieldError{Field: "payload", Problem: err.Error()}
	}
	err = c.validate(schema, value)
	if errors.Is(err, errTooManySteps) {
		return &event.FieldError{Field: "payload", Problem: fmt.Sprintf("needs more than %d steps to check against the schema of %s; simplify the payload or the schema", maxSteps, eventType)}
	}
	return validationProblem(err)
}

// A noLoader refuses to load schemas that others refer to.
type noLoader struct{}

// Load implements [jsonschema.URLLoader].
func (noLoader) Load(url string) (any, error) {
	return nil, &fs.PathError{Op: "load", Path: url, Err: errors.New("a schema can refer only to parts of itself")}
}
