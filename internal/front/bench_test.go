// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"bytes"
	"testing"

	"github.com/gatecast/gatecast/internal/http1"
)

// BenchmarkUpgradeRequest reads and checks an upgrade and makes its response, without a
// connection.
func BenchmarkUpgradeRequest(b *testing.B) {
	text := []byte(upgradeWith("User-Agent", "a gateway", "Last-Event-ID", "k3f9-1041"))
	buf := make([]byte, http1.MaxHead)
	b.ReportAllocs()
	for b.Loop() {
		head, _, err := readHead(bytes.NewReader(text), buf)
		if err != nil {
			b.Fatal(err)
		}
		if up, refused := parseUpgrade(head, false); refused != nil || up.since == "" {
			b.Fatal(refused)
		}
	}
}
