// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A kind of name that documents mention and the source must have.
var namesInSource = []struct {
	what string
	name *regexp.Regexp // how a document writes it; the first group is the name
	in   string         // how the source declares it, with NAME for the name
}{
	{"test", regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`"), "func NAME("},
	{"metric or stream", regexp.MustCompile(`\bgatecast_([a-z]\w*[a-z])\b`), "NAME"}, // source adds the prefix in some
}

// Tests, metrics and streams that documents mention exist.
func TestNamesExist(t *testing.T) {
	source := goSource(t)
	for _, d := range documents(t) {
		for _, l := range d.lines {
			for _, kind := range namesInSource {
				for _, m := range kind.name.FindAllStringSubmatch(l.text, -1) {
					if !strings.Contains(source, strings.ReplaceAll(kind.in, "NAME", m[1])) {
						t.Errorf("%s:%d: there is no %s %s", d.path, l.number, kind.what, m[1])
					}
				}
			}
		}
	}
}

// goSource returns all Go files of the module, one after the other, except those of this package.
func goSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "node_modules" || path == filepath.Clean(root+"test/docs")):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go"):
			b, err := os.ReadFile(path)
			all.Write(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// Every module that go.mod requires directly has a row in the document of dependencies.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile(root + "go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(root + "docs/explanation/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := regexp.MustCompile(`(?m)^(?:require)?\s+([\w.-]+\.[\w.-]+/\S+) v\S+$`)
	modules := direct.FindAllStringSubmatch(string(mod), -1)
	if len(modules) < 10 {
		t.Fatalf("go.mod has %d direct requirements; is it read right?", len(modules))
	}
	for _, m := range modules {
		if !strings.Contains(string(page), m[1]) {
			t.Errorf("docs/explanation/dependencies.md does not say why %s is used", m[1])
		}
	}
}

var (
	sourcePath = regexp.MustCompile("`((?:internal|cmd|test|docs|bench|client|shard|poller|frame|auth|stats)/[\\w./-]*\\w)`")
	testedPath = regexp.MustCompile(`\bgo (?:test|run|build|generate|vet)\b[^|#` + "`" + `]*? \./([\w/-]+)`)
)

// Files and folders of the source that documents mention exist.
func TestPathsExist(t *testing.T) {
	for _, d := range documents(t) {
		if d.path == "CHANGELOG.md" {
			continue // it names paths of earlier versions too
		}
		for _, l := range d.lines {
			for _, r := range []*regexp.Regexp{sourcePath, testedPath} {
				for _, m := range r.FindAllStringSubmatch(l.text, -1) {
					if _, err := os.Stat(root + m[1]); err != nil && !strings.Contains(m[1], "...") {
						t.Errorf("%s:%d: there is no %s", d.path, l.number, m[1])
					}
				}
			}
		}
	}
}
