// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"testing"

	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// A node that starts knows from its first publish which gateways the others have.
func TestNewNodeKnowsWhoIsConnected(t *testing.T) {
	cfg := config(t)
	cfg.Plaintext, cfg.Log, cfg.NodeID = true, natsenv.Start(t).URL(), "a"
	a := start(t, cfg)
	const gateways = 3
	for i := range gateways {
		token, _ := a.gateway(fmt.Sprint("g", i), "all")
		a.connect(token)
	}
	for i := range 3 {
		cfg.DataDir, cfg.NodeID = t.TempDir(), fmt.Sprint("b", i)
		b := start(t, cfg)
		var receipt struct{ Targets, Connected int }
		eventually(t, "the log takes it", func() bool { return b.call("POST", root+"/events", `{"group":"all","type":"t"}`, &receipt) == 202 })
		if receipt.Targets != gateways || receipt.Connected != gateways {
			t.Errorf("node %d: %+v", i, receipt)
		}
	}
	var failed struct{ Deliveries []any }
	if a.call("GET", root+"/deliveries", "", &failed); len(failed.Deliveries) > 0 {
		t.Errorf("failed deliveries: %v", failed.Deliveries)
	}
}
