// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package codegen

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// oapi-codegen with its defaults makes a client, a server and types of the document,
// and they compile.
func TestGenerates(t *testing.T) {
	dir, err := os.MkdirTemp(".", "generated-") // in this module, which has what it imports
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "generated.go")
	for _, args := range [][]string{
		{"tool", "oapi-codegen", "-package", "generated", "-o", file, "../openapi.yaml"},
		{"vet", "./" + dir},
	} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
}
