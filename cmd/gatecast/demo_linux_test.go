// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	code, out, errs := gatecast("", "demo", "--for", "300ms", "--every", "50ms")
	if code != 0 || errs != "" {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{"edge-eu/2 is connected", "edge-us/1 received", "once and in order", "The ops page is at http://127.0.0.1:"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q in\n%s", want, out)
		}
	}
}
