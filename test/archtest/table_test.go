// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the package table in the architecture document")

const (
	architecture = "../../docs/explanation/architecture.md"
	tableHead    = "| package | what it does | imports from this module |\n|---|---|---|\n"
)

// TestPackageTable checks that the table in the architecture document has the first sentence of
// each package's documentation, and the imports in mayImport.
func TestPackageTable(t *testing.T) {
	b, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableHead)
	if !ok {
		t.Fatalf("%s has no line %q", architecture, strings.SplitN(tableHead, "\n", 2)[0])
	}
	after := rest
	for strings.HasPrefix(after, "|") {
		_, after, _ = strings.Cut(after, "\n")
	}
	want := before + tableHead + packageTable(t) + after
	if want == string(b) {
		return
	}
	if !*update {
		t.Fatalf("the package table in %s is stale: run go test ./test/archtest -update", architecture)
	}
	if err := os.WriteFile(architecture, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// packageTable returns the rows of the table. A package stands below all packages that it imports.
func packageTable(t *testing.T) string {
	list := packages(t)
	slices.SortFunc(list, func(a, b goPackage) int {
		return cmp.Or(cmp.Compare(depth(a.name()), depth(b.name())), cmp.Compare(a.name(), b.name()))
	})
	var s strings.Builder
	for _, p := range list {
		imports := cmp.Or(strings.Join(mayImport[p.name()], ", "), "–")
		fmt.Fprintf(&s, "| `%s` | %s | %s |\n", p.name(), summary(p), imports)
	}
	return s.String()
}

// depth returns the length of the longest import chain below a package.
func depth(name string) int {
	n := 0
	for _, i := range mayImport[name] {
		n = max(n, 1+depth(i))
	}
	return n
}

// summary returns the first sentence of a package's documentation, without its name and links.
func summary(p goPackage) string {
	words := strings.SplitN(p.Doc, " ", 3) // "Package NAME does…"
	if len(words) < 3 {
		return "?"
	}
	return strings.NewReplacer("[", "", "]", "", "|", "\\|").Replace(words[2])
}
