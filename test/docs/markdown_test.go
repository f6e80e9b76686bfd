// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
)

// root is the repository's root, seen from this package.
const root = "../../"

// A document is one Markdown file. It is constant after read.
type document struct {
	path    string // from the repository's root
	lines   []line
	anchors map[string]bool // of its headings and <a id> tags
}

// A line is one line of a document.
type line struct {
	number int // from 1
	text   string
	code   bool // inside a fenced or indented block, or the fence itself
}

// documents returns every Markdown file that git knows, by its path.
func documents(t *testing.T) map[string]*document {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("git does not list the documents: %v", err)
	}
	all := make(map[string]*document)
	for name := range strings.FieldsSeq(string(out)) {
		text, err := os.ReadFile(root + name)
		if os.IsNotExist(err) { // deleted, and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all[name] = read(name, string(text))
	}
	if all["README.md"] == nil || all["docs/README.md"] == nil {
		t.Fatalf("README.md or docs/README.md is missing among %d documents", len(all))
	}
	return all
}

var (
	heading   = regexp.MustCompile(`^#{1,6} +(.+?) *$`)
	anchorTag = regexp.MustCompile(`<a id="([^"]+)">`)
)

// read parses a document as far as the tests need it.
func read(name, text string) *document {
	d := &document{path: name, anchors: make(map[string]bool)}
	fenced := false
	for i, s := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(s), "```")
		indented := strings.HasPrefix(s, "    ") && (i == 0 || d.lines[i-1].code || strings.TrimSpace(d.lines[i-1].text) == "")
		d.lines = append(d.lines, line{number: i + 1, text: s, code: fenced || fence || indented})
		if fence {
			fenced = !fenced
		}
		if m := heading.FindStringSubmatch(s); m != nil && !fenced {
			d.addAnchor(m[1])
		}
		for _, m := range anchorTag.FindAllStringSubmatch(s, -1) {
			d.anchors[m[1]] = true
		}
	}
	return d
}

// addAnchor adds the anchor of a heading as GitHub and GitLab make it: lower case, spaces to
// hyphens, without punctuation, numbered when it is there already.
func (d *document) addAnchor(heading string) {
	base := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
			return r
		}
		return -1
	}, strings.ToLower(linkText.ReplaceAllString(heading, "$1")))
	anchor := base
	for n := 1; d.anchors[anchor]; n++ {
		anchor = fmt.Sprintf("%s-%d", base, n)
	}
	d.anchors[anchor] = true
}

var (
	linkText   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	inlineCode = regexp.MustCompile("`[^`]*`")
)

// Every link in a document leads to a file or folder of the repository, and to a heading in it
// where it names one.
func TestLinksResolve(t *testing.T) {
	all := documents(t)
	for _, d := range all {
		for _, l := range d.lines {
			if l.code {
				continue
			}
			for _, m := range linkTarget.FindAllStringSubmatch(inlineCode.ReplaceAllString(l.text, "`"), -1) {
				if problem := checkLink(all, d, m[1]); problem != "" {
					t.Errorf("%s:%d: link to %s: %s", d.path, l.number, m[1], problem)
				}
			}
		}
	}
}

func checkLink(all map[string]*document, from *document, target string) (problem string) {
	if strings.Contains(target, "://") {
		return ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	to := from.path
	if file != "" {
		to = path.Join(path.Dir(from.path), file)
	}
	if strings.HasPrefix(to, "../") {
		return "is outside the repository"
	}
	if _, err := os.Stat(root + to); err != nil {
		return "no such file"
	}
	if anchor == "" {
		return ""
	}
	if d := all[to]; d != nil && !d.anchors[anchor] {
		return "no such heading"
	}
	return ""
}

// Every document in docs can be found from docs/README.md, and every decision from the list of
// decisions.
func TestEveryDocumentIsLinked(t *testing.T) {
	all := documents(t)
	seen := map[string]bool{"README.md": true}
	for todo := []string{"README.md"}; len(todo) > 0; todo = todo[1:] {
		d := all[todo[0]]
		for _, l := range d.lines {
			for _, m := range linkTarget.FindAllStringSubmatch(l.text, -1) {
				file, _, _ := strings.Cut(m[1], "#")
				to := path.Join(path.Dir(d.path), file)
				if all[to] == nil {
					to += "/README.md"
				}
				if all[to] != nil && !seen[to] {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
	}
	for name := range all {
		if !seen[name] {
			t.Errorf("no link leads from README.md to %s", name)
		}
	}
}
