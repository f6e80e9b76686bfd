// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package gomodule

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gomod "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// version is the version of the tree in the test's proxy.
const version = "v1.2.3-proxytest"

// A diskFile is a file of the tree as [zip.Create] reads it.
type diskFile string

func (f diskFile) Path() string                 { return string(f) }
func (f diskFile) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(root, string(f))) }
func (f diskFile) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(root, string(f))) }

// newProxy makes a module proxy in the file system that has the tree as version, and returns
// the environment in which the go command uses it. Modules that this one requires come from the
// download cache, and from the usual proxy if they are missing there.
func newProxy(t *testing.T) (env []string) {
	t.Helper()
	dir := t.TempDir()
	base := filepath.Join(dir, "proxy", module, "@v", version)
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, base+".mod", string(goMod))
	write(t, base+".info", `{"Version":"`+version+`","Time":"2026-01-02T03:04:05Z"}`)
	write(t, filepath.Join(filepath.Dir(base), "list"), version+"\n")
	out, err := os.Create(base + ".zip")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var list []zip.File
	for _, name := range files(t) {
		list = append(list, diskFile(name))
	}
	if err := zip.Create(out, gomod.Version{Path: module, Version: version}, list); err != nil {
		t.Fatal(err)
	}
	goEnv := strings.Split(strings.TrimSpace(run(t, dir, nil, "go", "env", "GOMODCACHE", "GOPROXY")), "\n")
	downloads := filepath.Join(goEnv[0], "cache", "download")
	return []string{
		"GOPROXY=file://" + filepath.Join(dir, "proxy") + ",file://" + downloads + "," + goEnv[1],
		"GOMODCACHE=" + filepath.Join(dir, "mod"), // the version's content differs from run to run
		"GOBIN=" + filepath.Join(dir, "bin"),
		"GOFLAGS=-mod=mod -modcacherw -trimpath -buildvcs=false", // as in `make build`, for its build cache
		"GONOSUMDB=" + module, "GONOSUMCHECK=1", "GOSUMDB=off", "GONOPROXY=none", "GOPRIVATE=",
		"GOWORK=off", "CGO_ENABLED=0",
	}
}

func setting(env []string, name string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// TestInstall runs `go install github.com/gatecast/gatecast/cmd/gatecast@VERSION`.
func TestInstall(t *testing.T) {
	t.Parallel()
	env := newProxy(t)
	dir := t.TempDir()
	run(t, dir, env, "go", "install", module+"/cmd/gatecast@"+version)
	out := run(t, dir, env, filepath.Join(setting(env, "GOBIN"), "gatecast"), "--version")
	if got := strings.TrimSpace(out); got != version {
		t.Errorf("gatecast --version printed %q, want %q", got, version)
	}
}

// gateway is a program that imports only the client.
const gateway = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gatecast/gatecast/client"
)

func main() {
	err := client.Run(context.Background(), client.Config{
		URL:     "wss://127.0.0.1:1",
		Handler: func(_ context.Context, e client.Event) error { return nil },
	})
	fmt.Println(err)
	if closed, ok := err.(*client.CloseError); ok && closed.Code == client.CloseNormal {
		os.Exit(1)
	}
}
`

// TestGetClient runs `go get github.com/gatecast/gatecast/client@VERSION` in a new module, and
// checks which modules its program is built from.
func TestGetClient(t *testing.T) {
	t.Parallel()
	env := newProxy(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/gateway\n\ngo 1.26.0\n")
	write(t, filepath.Join(dir, "main.go"), gateway)
	run(t, dir, env, "go", "get", module+"/client@"+version)
	run(t, dir, env, "go", "build", "-o", "gateway", ".")
	if out := run(t, dir, env, filepath.Join(dir, "gateway")); !strings.Contains(out, "Config.Token is missing") {
		t.Errorf("the program printed %q", out)
	}
	for dep := range strings.FieldsSeq(run(t, dir, env, "go", "list", "-deps", ".")) {
		first, _, _ := strings.Cut(dep, "/")
		ours := dep == "example.com/gateway" || dep == module+"/client"
		if strings.Contains(first, ".") && !ours && !strings.HasPrefix(dep, "github.com/gobwas/") {
			t.Errorf("the program compiles %s", dep)
		}
	}
	if info := run(t, dir, env, "go", "version", "-m", "gateway"); !strings.Contains(info, module+"\t"+version) {
		t.Errorf("the program is not built from %s %s:\n%s", module, version, info)
	}
}
