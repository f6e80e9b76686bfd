// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnsafe checks that one file of the program uses unsafe or go:linkname: it passes the addresses
// of slices to the kernel. Tests can use them, to inspect memory that must be overwritten and to
// choose the cipher suites of crypto/tls.
func TestUnsafe(t *testing.T) {
	var found []string
	walkGo(t, func(path string, text []byte) {
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		unsafely := bytes.Contains(text, []byte("\n//go:linkname ")) || slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
			return i.Path.Value == `"unsafe"` || i.Path.Value == `"C"`
		})
		// bench/peers is a separate module and not part of the program.
		if unsafely && !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "bench/peers/") {
			found = append(found, path)
		}
	})
	if want := []string{"poller/writev_linux.go"}; !slices.Equal(found, want) {
		t.Errorf("unsafe, cgo or linkname in %v, want it in %v only", found, want)
	}
}

// TestSecretsAreNotCompared checks that package auth, which has all secrets, compares digests and
// presented secrets with crypto/subtle, or looks up digests. A comparison with "" is allowed: it
// shows only whether there is a secret.
func TestSecretsAreNotCompared(t *testing.T) {
	secret := map[string]bool{"digest": true, "presented": true, "secret": true, "token": true, "text": true, "want": true}
	// These compare stored digests with each other, and nothing that a client presented.
	allowed := map[string]bool{"auth/admin_token.go: other.digest == l.digest": true, "auth/registry_state.go: g.digest == stored": true}
	compared := 0
	walkGo(t, func(path string, text []byte) {
		if filepath.Dir(path) != "auth" || strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if n.Sel.Name == "ConstantTimeCompare" {
					compared++
				}
			case *ast.BinaryExpr:
				if n.Op != token.EQL && n.Op != token.NEQ || types.ExprString(n.Y) == `""` {
					return true
				}
				for _, side := range []ast.Expr{n.X, n.Y} {
					s := types.ExprString(n)
					if secret[lastName(side)] && !allowed[path+": "+s] {
						t.Errorf("%s: %s; want crypto/subtle", path, s)
					}
				}
			}
			return true
		})
	})
	if compared != 2 {
		t.Errorf("crypto/subtle compares in %d places, want 2: the admin token and the grant of a gateway", compared)
	}
}

// lastName returns the last name in an expression such as a.digest[:], or "".
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.SliceExpr:
		return lastName(e.X)
	}
	return ""
}

// walkGo calls f with each Go file of the repository, and its path from the root.
func walkGo(t *testing.T, f func(path string, text []byte)) {
	t.Helper()
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		b, err := fs.ReadFile(root, path)
		if err == nil {
			f(path, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const header = "// Copyright The gatecast Authors\n// SPDX-License-Identifier: Apache-2.0\n"

func TestLicenseHeaders(t *testing.T) {
	walkGo(t, func(path string, text []byte) {
		if !bytes.HasPrefix(text, []byte(header)) {
			t.Errorf("%s does not start with the license header", path)
		}
	})
}
