// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the project's structure: which package may import
// which, and that every file says whose it is.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport says which packages of gatecast a package may import. It is the
// picture in docs/explanation/architecture.md, and imports point down it only.
var mayImport = map[string][]string{
	"internal/strict":     {},
	"internal/event":      {"internal/strict"},
	"frame":               {},
	"poller":              {"internal/tlsrecord"},
	"stats":               {"internal/event"},
	"stats/metrics":       {"internal/event", "stats"},
	"shard":               {"internal/event", "frame", "internal/activity", "internal/strict", "internal/delivery", "poller", "stats"},
	"internal/delivery":   {"internal/event"},
	"auth":                {"internal/event", "internal/activity", "internal/netaddr", "internal/secretfile", "internal/strict", "stats"},
	"auth/memstore":       {"auth"},
	"internal/eventlog":   {"auth", "internal/event"},
	"internal/api":        {"auth", "internal/event", "internal/http1", "internal/spec", "internal/strict", "stats", "stats/metrics"},
	"internal/front":      {"auth", "internal/activity", "internal/http1", "internal/netaddr", "internal/strict", "poller", "shard", "stats", "stats/metrics"},
	"internal/node":       {"internal/api", "auth", "internal/event", "internal/eventlog", "frame", "internal/certs", "internal/eventtypes", "internal/front", "internal/logqueue", "internal/netaddr", "internal/secretfile", "internal/settings", "internal/strict", "internal/tracing", "internal/delivery", "poller", "shard", "stats", "stats/metrics"},
	"client":              {"frame"},
	"cmd/gatecast":        {"auth", "bench", "client", "internal/event", "internal/certs", "internal/settings", "internal/stopsignal", "internal/strict", "internal/node"},
	"bench":               {"internal/event", "frame"},
	"internal/certs":      {},
	"internal/logqueue":   {},
	"internal/secretfile": {},
	"internal/settings":   {"internal/event", "internal/netaddr"},
	"internal/stopsignal": {},
	"internal/activity":   {},
	"internal/http1":      {},
	"internal/netaddr":    {},
	"internal/tlsrecord":  {},
	"test/testenv":        {},
	"test/clients":        {},
	"test/chaos":          {},
	"test/hostile":        {"frame", "test/testenv"},
	"test/soak":           {"bench", "client", "internal/event", "frame", "test/testenv"},
	"test/echo":           {"auth", "internal/event", "frame", "internal/front", "test/testenv", "poller", "shard", "stats", "stats/metrics"},
	"internal/eventtypes": {"internal/event", "internal/strict"},
	"internal/spec":       {},
	// For tests only: nobody else has it.
	"test/spectest":    {"internal/spec", "internal/strict"},
	"internal/tracing": {"internal/event"},
}

// soleImporters says which packages import a module directly; nobody else does.
var soleImporters = map[string][]string{
	"github.com/mailru/easygo":        {"poller"},
	"github.com/gobwas/ws":            {"frame", "internal/front", "client"},
	"github.com/nats-io":              {"internal/eventlog"},
	"github.com/minio/highwayhash":    {"internal/eventlog"},
	"github.com/valyala/fasthttp":     {"internal/api"},
	"github.com/fasthttp/router":      {"internal/api"},
	"github.com/pires/go-proxyproto":  {"internal/front"},
	"github.com/alecthomas/kong":      {"cmd/gatecast"},
	"github.com/KimMachineGun":        {"cmd/gatecast"},
	"github.com/prometheus":           {"stats/metrics"},
	"golang.org/x/net":                {"internal/front", "internal/http1"},
	"golang.org/x/time":               {"auth"},
	"golang.org/x/term":               {"cmd/gatecast"},
	"github.com/chromedp":             {},
	"golang.org/x/sys":                {"internal/api", "poller", "internal/node", "internal/eventlog", "bench", "test/testenv"},
	"github.com/santhosh-tekuri":      {"internal/eventtypes", "test/spectest"},
	"golang.org/x/text":               {"internal/eventtypes"},
	"go.opentelemetry.io":             {"internal/tracing"},
	"go.yaml.in/yaml/v3":              {"cmd/gatecast", "internal/eventtypes", "test/spectest"},
	"github.com/coder/websocket":      {},
	"pgregory.net/rapid":              {},
	"go.uber.org/goleak":              {},
	"github.com/google/go-cmp/cmp":    {},
	"github.com/gobwas/httphead":      {"internal/front"},
	"github.com/klauspost/compress":   {"frame"},
	"github.com/getkin/kin-openapi":   {"test/spectest"},
	"github.com/hashicorp/golang-lru": {"auth"},
	"golang.org/x/sync":               {"auth"},
	// In tests only: a strict parser to hold ours to.
	"github.com/go-json-experiment": {},
}

const module = "github.com/gatecast/gatecast/"

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestImportDirections(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == "test/archtest" {
			continue
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is not in the picture: add it to mayImport and to docs/explanation/architecture.md", name)
		}
		for _, i := range p.Imports {
			if dep, ours := strings.CutPrefix(i, module); ours && !slices.Contains(allowed, dep) {
				t.Errorf("%s imports %s", name, dep)
			}
		}
	}
}

func TestThirdPartyImporters(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, i := range p.Imports {
			for prefix, importers := range soleImporters {
				if (i == prefix || strings.HasPrefix(i, prefix+"/")) && !slices.Contains(importers, name) {
					t.Errorf("%s imports %s, which is for %v", name, i, importers)
				}
			}
		}
	}
}

// The client must not bring the server along.
func TestClientIsLight(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./client")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for _, heavy := range []string{"github.com/nats-io", "github.com/valyala", "github.com/prometheus", "github.com/mailru", "go.opentelemetry.io", module + "internal/node", module + "shard"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("a program that imports the client gets %s", dep)
			}
		}
	}
}

// The packages that decide and count pull in no Prometheus, and the log knows no gateways.
func TestKeptApart(t *testing.T) {
	for _, c := range []struct{ pkg, not string }{
		{"auth", "github.com/prometheus"},
		{"shard", "github.com/prometheus"},
		{"stats", "github.com/prometheus"},
	} {
		cmd := exec.Command("go", "list", "-deps", "./"+c.pkg)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for _, dep := range strings.Fields(string(out)) {
			if strings.HasPrefix(dep, c.not) {
				t.Errorf("%s depends on %s", c.pkg, dep)
			}
		}
	}
}

// TestUnsafe holds that unsafe, and go:linkname, are in one file of the program: it
// hands the kernel the addresses of slices. Tests may use them, to look into memory
// that must be overwritten and to choose crypto/tls's suites.
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
		// bench/peers is a module of its own, and no part of the program.
		if unsafely && !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "bench/peers/") {
			found = append(found, path)
		}
	})
	if want := []string{"poller/writev.go"}; !slices.Equal(found, want) {
		t.Errorf("unsafe, cgo or linkname in %v, want it in %v only", found, want)
	}
}

// TestSecretsAreNotCompared holds that in auth, which has every secret, a digest or
// what was presented is compared by crypto/subtle or looked up as a digest. Comparing
// with "" tells only whether there is one.
func TestSecretsAreNotCompared(t *testing.T) {
	secret := map[string]bool{"digest": true, "presented": true, "secret": true, "token": true, "text": true, "want": true}
	// Of stored digests with each other; nothing that was presented is in it.
	allowed := map[string]bool{"auth/admintoken.go: other.digest == l.digest": true, "auth/keeper.go: g.digest == t.SHA256": true}
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
		t.Errorf("crypto/subtle compares in %d places, want 2: the admin token and a gateway's grant", compared)
	}
}

// lastName returns the last name of an expression such as a.digest[:], or "".
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

// walkGo calls f with each Go file, its path from the root of the project.
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
			t.Errorf("%s does not begin with the license header", path)
		}
	})
}
