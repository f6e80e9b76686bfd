// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/client/platform"
	"github.com/gatecast/gatecast/internal/node"
	"github.com/gatecast/gatecast/internal/settings"
)

// A testNode is a node of the examples.
type testNode struct {
	node                   *node.Node
	dir                    string
	internalURL, tokenFile string
}

func startNode() *testNode {
	dir, err := os.MkdirTemp("", "gatecast")
	if err != nil {
		panic(err)
	}
	cfg := node.Defaults()
	cfg.Listen, cfg.InternalListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Plaintext, cfg.DataDir, cfg.Log, cfg.Shards = true, dir, settings.LogMemory, 1
	n, err := node.Start(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	return &testNode{n, dir, "http://" + n.InternalAddr().String(), filepath.Join(dir, "admin.token")}
}

func (n *testNode) stop() {
	_ = n.node.Drain(context.Background())
	_ = os.RemoveAll(n.dir)
}

func (n *testNode) client() *platform.Client {
	c, err := platform.New(platform.Config{URL: n.internalURL, TokenFile: n.tokenFile})
	if err != nil {
		panic(err)
	}
	return c
}

// connect connects a gateway. It returns when the gateway is connected.
func (n *testNode) connect(token string, handle func(client.Event) error) (disconnect func()) {
	ctx, cancel := context.WithCancel(context.Background())
	connected := make(chan struct{})
	var once sync.Once
	var running sync.WaitGroup
	running.Go(func() {
		_ = client.Run(ctx, client.Config{
			URL:     "ws://" + n.node.GatewayAddr().String(),
			Token:   token,
			Handler: func(_ context.Context, e client.Event) error { return handle(e) },
			OnState: func(s client.State) {
				if s.Phase == client.Connected {
					once.Do(func() { close(connected) })
				}
			},
		})
	})
	<-connected
	return func() { cancel(); running.Wait() }
}
