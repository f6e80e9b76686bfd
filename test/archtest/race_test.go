// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNoGoroutines checks that the packages that `make race` leaves out as free of goroutines start
// none, and do not use package sync.
func TestNoGoroutines(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^NO_GOROUTINES := (.*)$`).FindSubmatch(makefile)
	if m == nil {
		t.Fatal("the Makefile has no variable NO_GOROUTINES")
	}
	files := make(map[string]int) // by package
	for name := range strings.SplitSeq(string(m[1]), "|") {
		files[name] = 0
	}
	walkGo(t, func(path string, text []byte) {
		dir := filepath.ToSlash(filepath.Dir(path))
		if _, ok := files[dir]; !ok {
			return
		}
		files[dir]++
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if strings.HasPrefix(i.Path.Value, `"sync`) {
				t.Errorf("%s imports %s: remove %s from NO_GOROUTINES in the Makefile", path, i.Path.Value, dir)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s starts a goroutine: remove %s from NO_GOROUTINES in the Makefile", path, dir)
			}
			return true
		})
	})
	for name, n := range files {
		if n == 0 {
			t.Errorf("NO_GOROUTINES in the Makefile has %s, which does not exist", name)
		}
	}
}
