// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLabelValuesAreKnown checks that each label value of a counter is in the lists of package
// stats/metrics, which creates the series at the start.
func TestLabelValuesAreKnown(t *testing.T) {
	// Error codes of requests that are not counted.
	uncounted := map[string]string{
		"not_found":          "internal/front", // paths that need a platform
		"unauthorized":       "internal/api",   // the publisher is not known yet
		"method_not_allowed": "internal/api",
		"invalid_gateway":    "internal/api",
		"invalid_token":      "internal/api",
	}
	var known []string
	used := make(map[string]map[string]bool) // by package
	walkGo(t, func(path string, text []byte) {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") || dir != "internal/front" && dir != "internal/api" && path != "stats/metrics/labels.go" {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if path == "stats/metrics/labels.go" {
			known = words(file)
			return
		}
		if used[dir] == nil {
			used[dir] = make(map[string]bool)
		}
		for _, w := range labels(file) {
			used[dir][w] = true
		}
	})
	for dir, least := range map[string]int{"internal/front": 15, "internal/api": 12} {
		if len(used[dir]) < least {
			t.Errorf("%s uses only %d labels, want at least %d: does this test still find them?", dir, len(used[dir]), least)
		}
		for w := range used[dir] {
			if uncounted[w] != dir && !slices.Contains(known, w) {
				t.Errorf("%s counts %q, which stats/metrics/labels.go does not have", dir, w)
			}
		}
	}
}

var word = regexp.MustCompile(`^[a-zA-Z]+(_[a-z]+)*$`)

// words returns the string literals below n that are a single word.
func words(n ast.Node) (list []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && word.MatchString(s) {
				list = append(list, s)
			}
		}
		return true
	})
	return list
}

// labels returns the label values and error codes in a file: the words in constants named code… or
// result…, in refusals, and in calls that count or end.
func labels(file *ast.File) (list []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for _, name := range n.Names {
				if strings.HasPrefix(name.Name, "code") || strings.HasPrefix(name.Name, "result") {
					list = append(list, words(n)...)
				}
			}
		case *ast.CompositeLit:
			if id, ok := n.Type.(*ast.Ident); ok && id.Name == "refusal" {
				for i, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "code" {
							list = append(list, words(kv.Value)...)
						}
					} else if i == 1 {
						list = append(list, words(e)...)
					}
				}
			}
		case *ast.CallExpr:
			switch name := called(n); name {
			case "later":
				list = append(list, words(n.Args[1])...)
			case "end", "count", "result", "WithLabelValues":
				for _, a := range n.Args {
					list = append(list, words(a)...)
				}
			}
		}
		return true
	})
	return list
}

// called returns the name of the called function, without its receiver.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
