// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventtypes

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const numeric = `
n.min:      {properties: {n: {minimum: 1}}}
n.max:      {properties: {n: {exclusiveMaximum: 1.0e+300}}}
n.multiple: {properties: {n: {multipleOf: 0.01}}}
n.const:    {properties: {n: {const: 1}}}
n.enum:     {properties: {n: {enum: [1, a, {b: 2}]}}}
n.integer:  {properties: {n: {type: integer}}}
n.unique:   {properties: {n: {uniqueItems: true}}}
n.any:      true
`

// Numbers that are too much to compute with are refused before the validator sees
// them, by whatever keyword it would.
func TestLargeNumbers(t *testing.T) {
	ts, err := Open(write(t, numeric), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{
		"1e1000001", "1E1000001", "-1e1000001", "1e-1000001", "0e1000001", "1.5e+999999999", "1e99999999999999999999999",
		"1e-99999999999999999999999", "1e401", "1" + strings.Repeat("0", 1_000_000), "0." + strings.Repeat("0", 1_000_000) + "1",
	} {
		for name := range ts.schemas.Load().docs {
			for path, payload := range map[string]string{
				"payload/n":     `{"n":` + number + `}`,
				"payload/n/1/b": `{"n":[1,{"b":` + number + `}]}`,
				"payload":       number,
			} {
				wrong := ts.Check(name, []byte(payload))
				if wrong == nil || wrong.Field != path || !strings.Contains(wrong.Problem, "number") {
					t.Errorf("%s: %.40s: %+v, want it to be the number at %s", name, payload, wrong, path)
				}
			}
		}
	}
	for _, number := range []string{"1e300", "1.7976931348623157e308", "5e-324", "123456789012345678901234567890", "0.1e1"} {
		for _, name := range []string{"n.min", "n.any", "n.max"} {
			wrong := ts.Check(name, []byte(`{"n":`+number+`}`))
			if wrong != nil && strings.Contains(wrong.Problem, "is a number") {
				t.Errorf("%s: %s: %+v", name, number, wrong)
			}
		}
	}
}

// A payload that is nested deeply is refused, and not by running out of memory.
func TestDeepPayload(t *testing.T) {
	ts, err := Open(write(t, "a: {items: {$ref: '#'}, type: [array, object]}\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	for depth, refused := range map[int]bool{maxDepth + 1: false, maxDepth + 2: true, 9_000: true} {
		payload := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		wrong := ts.Check("a", []byte(payload))
		if (wrong != nil) != refused || wrong != nil && !strings.Contains(wrong.Problem, "nested") {
			t.Errorf("%d levels: %+v", depth, wrong)
		}
	}
}

// What takes too long to check is refused, and the next payload is checked as ever.
func TestDearPayload(t *testing.T) {
	ts, err := Open(write(t, `
twice:   {anyOf: [{properties: {a: {$ref: "#"}}, required: [b]}, {properties: {a: {$ref: "#"}}, required: [c]}]}
loop:    {$ref: "#"}
pattern: {pattern: "^(a|b|c|d|e|aa|bb|cc|dd|ee|ab|ac|ad|ae){1,100}$"}
items:   {items: {allOf: [true, true, true, {type: integer}, {maximum: 7}]}}
`), false)
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string]string{
		"twice":   strings.Repeat(`{"a":`, 100) + "{}" + strings.Repeat("}", 100),
		"loop":    `{}`,
		"pattern": `"` + strings.Repeat("ab", 500_000) + `"`,
		"items":   "[1" + strings.Repeat(",1", 500_000) + "]",
	} {
		var wg sync.WaitGroup
		for range 2 * runtime.GOMAXPROCS(0) { // more than there are checkers
			wg.Go(func() {
				if wrong := ts.Check(name, []byte(payload)); wrong == nil || !strings.HasPrefix(wrong.Field, "payload") {
					t.Errorf("%s: %+v, want it refused", name, wrong)
				}
			})
		}
		wg.Wait()
	}
	for name, payload := range map[string]string{"twice": `{"a":{"b":1,"a":{"c":1}},"c":2}`, "pattern": `"abcde"`, "items": `[1,2,3]`} {
		if wrong := ts.Check(name, []byte(payload)); wrong != nil {
			t.Errorf("%s: %s: %+v", name, payload, wrong)
		}
	}
}

// A large array is checked for doubles in time that grows with its size alone.
func TestUniqueLargeArray(t *testing.T) {
	ts, err := Open(write(t, "a: {uniqueItems: true}\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&b, ",%d", i)
	}
	if wrong := ts.Check("a", []byte("["+b.String()[1:]+"]")); wrong != nil {
		t.Errorf("%+v", wrong)
	}
	if wrong := ts.Check("a", []byte("["+b.String()[1:]+",77777]")); wrong == nil {
		t.Error("a double is not found")
	}
}

// A file whose schemas are beyond the bounds is refused, with what and where.
func TestSchemaBounds(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"multipleOf": {`{"a":{"properties":{"n":{"multipleOf":1` + strings.Repeat("0", 500) + `}}}}`, "schema of a"},
		"deep":       {`{"a":` + strings.Repeat(`{"not":`, 300) + "true" + strings.Repeat("}", 300) + `}`, "nested"},
		"program":    {`{"a":{"pattern":"((x{100}){100}){10}"}}`, "schema of a"},
		"long":       {`{"a":{"pattern":"` + strings.Repeat("x", maxPattern+1) + `"}}`, "regular expression"},
	} {
		if _, err := Open(write(t, c.text), false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	// The format "regex" compiles what publishers send.
	ts, err := Open(write(t, `{"a":{"$schema":"http://json-schema.org/draft-07/schema#","format":"regex"}}`), false)
	if err != nil {
		t.Fatal(err)
	}
	for payload, refused := range map[string]bool{`"^a+$"`: false, `"("`: true, `"` + strings.Repeat("(x{999})", 100_000) + `"`: true} {
		if wrong := ts.Check("a", []byte(payload)); (wrong != nil) != refused {
			t.Errorf("%.30s: %+v", payload, wrong)
		}
	}
}
