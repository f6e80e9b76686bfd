// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds the gatecast binary into a folder and returns its path. root is the folder of
// go.mod. It builds with the race detector if the test runs with it.
func Build(root, folder string) (string, error) {
	binary := filepath.Join(folder, "gatecast")
	args := []string{"build", "-o", binary}
	if Race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/gatecast")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return binary, nil
}
