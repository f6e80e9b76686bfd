// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// Flags about one event contradict --stdin, whatever their values, and nothing is
// published.
func TestStdinContradictions(t *testing.T) {
	n := newStartingNode(t)
	for _, flag := range [][]string{
		{"--gateway", "edge"}, {"--group", "g"}, {"--org", "o"}, {"--all"}, {"--type", "t"}, {"--payload", "1"}, {"--payload", ""},
		{"--payload-file", "f"}, {"--key", "k"}, {"--correlation-id", "c"},
	} {
		args := append([]string{"publish", "--stdin", "--internal-url", n.URL, "--admin-token-file", adminToken(t)}, flag...)
		code, _, errs := gatecast("{}\n", args...)
		if code != 2 || !strings.Contains(errs, flag[0]) || !strings.Contains(errs, "--stdin") || strings.Count(errs, "\n") != 1 || len(n.asked) > 0 {
			t.Errorf("%v: exit %d, the node is asked %q: %s", flag, code, n.asked, errs)
		}
	}
}
