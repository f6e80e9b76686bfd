// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Conditions are what a result depends on, other than gatecast's code.
type Conditions struct {
	Machine string `json:"machine"` // processor model, number of processors, kernel
	Go      string `json:"go"`
	Commit  string `json:"commit"` // of the source tree, with "-dirty" if it has changes
	Pinned  bool   `json:"pinned"` // server and load use different processors
}

// CurrentConditions returns the conditions of this machine, and the commit of the current folder.
func CurrentConditions(pinned bool) Conditions {
	return Conditions{Machine: machine(), Go: runtime.Version(), Commit: commit(), Pinned: pinned}
}

func machine() string {
	var parts []string
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := bytes.Cut(info, []byte("model name"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if _, model, ok := bytes.Cut(line, []byte(":")); ok {
			parts = append(parts, string(bytes.TrimSpace(model)))
		}
	}
	parts = append(parts, plural(runtime.NumCPU(), "processor"), kernel())
	return strings.Join(parts, ", ")
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--match=").Output()
	if err != nil {
		return "unknown" // not a Git checkout, or Git is not installed
	}
	return strings.TrimSpace(string(out))
}
