// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the project's structure: which package may import
// which, and that every file says whose it is.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport says which packages of gatecast a package may import. It is the
// picture in docs/architecture.md, and imports point down it only.
var mayImport = map[string][]string{
	"event":               {},
	"frame":               {},
	"poller":              {"internal/tlsrecord"},
	"stats":               {"event"},
	"shard":               {"event", "frame", "outcome", "poller", "stats"},
	"outcome":             {"event"},
	"auth":                {"event", "stats"},
	"auth/memstore":       {"auth"},
	"eventlog":            {"auth", "event"},
	"api":                 {"auth", "event", "stats"},
	"internal/front":      {"auth", "poller", "shard", "stats"},
	"node":                {"api", "auth", "event", "eventlog", "frame", "internal/eventtypes", "internal/front", "internal/tracing", "outcome", "poller", "shard", "stats"},
	"client":              {"frame"},
	"cmd/gatecast":        {"auth", "bench", "client", "event", "node"},
	"bench":               {"event", "frame"},
	"internal/tlsrecord":  {},
	"internal/testenv":    {},
	"internal/clients":    {},
	"internal/chaos":      {},
	"internal/echo":       {"auth", "frame", "internal/front", "internal/testenv", "poller", "shard", "stats"},
	"internal/eventtypes": {"event"},
	"internal/tracing":    {"event"},
}

// soleImporters says which packages import a module directly; nobody else does.
var soleImporters = map[string][]string{
	"github.com/mailru/easygo":        {"poller"},
	"github.com/gobwas/ws":            {"frame", "internal/front", "client"},
	"github.com/nats-io":              {"eventlog"},
	"github.com/minio/highwayhash":    {"eventlog"},
	"github.com/valyala/fasthttp":     {"api"},
	"github.com/fasthttp/router":      {"api"},
	"github.com/pires/go-proxyproto":  {"internal/front"},
	"github.com/alecthomas/kong":      {"cmd/gatecast"},
	"github.com/KimMachineGun":        {"cmd/gatecast"},
	"github.com/prometheus":           {"stats"},
	"golang.org/x/time":               {"auth"},
	"golang.org/x/sys":                {"poller", "node", "eventlog", "bench", "internal/front", "internal/testenv"},
	"github.com/santhosh-tekuri":      {"internal/eventtypes"},
	"golang.org/x/text":               {"internal/eventtypes"},
	"go.opentelemetry.io":             {"internal/tracing"},
	"go.yaml.in/yaml/v3":              {"cmd/gatecast", "internal/eventtypes"},
	"github.com/coder/websocket":      {},
	"pgregory.net/rapid":              {},
	"go.uber.org/goleak":              {},
	"github.com/google/go-cmp/cmp":    {},
	"github.com/gobwas/httphead":      {"internal/front"},
	"github.com/klauspost/compress":   {"frame"},
	"github.com/getkin/kin-openapi":   {},
	"github.com/hashicorp/golang-lru": {"auth"},
	"golang.org/x/sync":               {"auth"},
}

const module = "gatecast/"

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
		if name == "internal/archtest" {
			continue
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is not in the picture: add it to mayImport and to docs/architecture.md", name)
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
		for _, heavy := range []string{"github.com/nats-io", "github.com/valyala", "github.com/prometheus", "github.com/mailru", "go.opentelemetry.io", module + "node", module + "shard"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("a program that imports the client gets %s", dep)
			}
		}
	}
}

const header = "// Copyright The gatecast Authors\n// SPDX-License-Identifier: Apache-2.0\n"

func TestLicenseHeaders(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil && !bytes.HasPrefix(b, []byte(header)) {
			t.Errorf("%s does not begin with the license header", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
