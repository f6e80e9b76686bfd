// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mayImport lists, for each package of this module, the packages of this module that its
// non-test files may import. After a change, run
//
//	go test ./test/archtest -update
//
// which writes the table in docs/explanation/architecture.md from this list.
var mayImport = parseImports(`
frame:
poller: internal/tlsrecord
shard: frame internal/activity internal/delivery/tracker internal/event internal/strict poller stats
auth: internal/activity internal/event internal/netaddr internal/secretfile internal/strict
auth/memstore: auth
stats: internal/event
stats/metrics: internal/event stats
bench: frame internal/event
client:
client/platform: client
cmd/gatecast: auth bench client client/platform internal/certs internal/event internal/node internal/settings internal/stopsignal internal/strict
internal/activity:
internal/api: auth internal/event internal/http1 internal/spec internal/strict stats stats/metrics
internal/certs: internal/secretfile
internal/connlog: internal/delivery poller shard
internal/delivery: internal/delivery/tracker internal/event internal/eventlog internal/strict poller shard stats/metrics
internal/delivery/tracker: internal/event
internal/dispatch: auth internal/delivery internal/event internal/eventlog internal/tracing shard stats/metrics
internal/event: internal/strict
internal/eventlog: internal/event internal/eventlog/storage
internal/eventlog/storage:
internal/eventtypes: internal/event internal/strict
internal/front: auth internal/activity internal/http1 internal/netaddr internal/strict poller shard stats/metrics
internal/front/platform: internal/certs internal/netaddr
internal/heap:
internal/http1:
internal/listen:
internal/logqueue:
internal/natsstore: auth internal/event internal/eventlog/storage internal/natsstore/check
internal/natsstore/check: internal/eventlog/storage
internal/netaddr:
internal/node: auth frame internal/api internal/certs internal/connlog internal/delivery internal/delivery/tracker internal/dispatch internal/event internal/eventlog internal/eventtypes internal/front internal/front/platform internal/heap internal/listen internal/logqueue internal/natsstore internal/presence internal/reload internal/settings internal/tracing poller shard stats stats/metrics
internal/presence: internal/event
internal/reload:
internal/secretfile:
internal/settings: internal/event internal/netaddr
internal/spec:
internal/spec/gendoc: auth frame internal/api internal/event internal/http1 internal/settings internal/spec
internal/stopsignal:
internal/strict:
internal/tlsrecord:
internal/tracing: internal/event
test/chaos:
test/clients:
test/docs:
test/echo: auth frame internal/event internal/front poller shard stats/metrics test/testenv
test/gomodule:
test/hostile: frame test/testenv
test/screenshots:
test/soak: bench client internal/event test/testenv
test/spectest: internal/spec internal/strict
test/testenv:
test/testenv/natsenv:
`)

// parseImports parses lines of the form "package: import import …".
func parseImports(text string) map[string][]string {
	m := make(map[string][]string)
	for line := range strings.Lines(strings.TrimSpace(text)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		m[pkg] = strings.Fields(imports)
	}
	return m
}

const module = "github.com/gatecast/gatecast/"

// A goPackage is what `go list -json` returns for a package.
type goPackage struct {
	ImportPath string
	Doc        string // first sentence of the package documentation
	Imports    []string
}

// name returns the path of the package inside the module.
func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages returns the packages of this module, except this one.
func packages(t *testing.T) []goPackage {
	t.Helper()
	list, err := allPackages()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var allPackages = sync.OnceValues(func() ([]goPackage, error) {
	out, err := goList("-json=ImportPath,Doc,Imports", "./...")
	if err != nil {
		return nil, err
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, err
		}
		if p.name() != "test/archtest" {
			list = append(list, p)
		}
	}
})

// goList runs go list in the root of the repository.
func goList(args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %v: %w", args, err)
	}
	return out, nil
}

func TestImports(t *testing.T) {
	exists := make(map[string]bool)
	for _, p := range packages(t) {
		exists[p.name()] = true
		allowed, known := mayImport[p.name()]
		if !known {
			t.Errorf("%s is missing in mayImport", p.name())
		}
		for _, i := range p.Imports {
			if dep, ours := strings.CutPrefix(i, module); ours && !slices.Contains(allowed, dep) {
				t.Errorf("%s imports %s, which mayImport does not allow", p.name(), dep)
			}
		}
		for _, dep := range allowed {
			if !slices.Contains(p.Imports, module+dep) {
				t.Errorf("%s does not import %s: remove it from mayImport", p.name(), dep)
			}
		}
	}
	for name := range mayImport {
		if !exists[name] {
			t.Errorf("%s does not exist: remove it from mayImport", name)
		}
	}
}

// forbidden lists dependencies, direct or indirect, that a package must not have.
var forbidden = []struct{ pkg, dep string }{
	{"auth", "github.com/prometheus"},
	{"shard", "github.com/prometheus"},
	{"stats", "github.com/prometheus"},
	{"internal/eventlog", module + "auth"},
	{"internal/eventlog", "github.com/nats-io"}, // it knows no type of JetStream
	{"client", module},                          // a program that uses the client compiles nothing of the server
	{"client/platform", module + "internal"},    // nor one that uses the client for platforms
	{"client", "github.com/nats-io"},
	{"client", "github.com/prometheus"},
	{"client", "github.com/valyala"},
}

func TestForbiddenDependencies(t *testing.T) {
	for _, f := range forbidden {
		out, err := goList("-deps", "./"+f.pkg)
		if err != nil {
			t.Fatal(err)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(dep, f.dep) && dep != module+f.pkg {
				t.Errorf("%s depends on %s", f.pkg, dep)
			}
		}
	}
}
