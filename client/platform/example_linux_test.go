// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/client/platform"
)

// A platform publishes an event to a gateway, and waits until the gateway has applied it.
func Example() {
	node := startNode()
	defer node.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c, err := platform.New(platform.Config{
		URL:       node.internalURL, // https://gatecast.internal:9244
		TokenFile: node.tokenFile,
		OnRetry:   func(err error, wait time.Duration) { fmt.Println("next attempt in", wait, err) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	edge, err := c.AddGateway(ctx, platform.NewGateway{Name: "Edge gateway", ID: "edge", Groups: []string{"prod"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	disconnect := node.connect(edge.Token, func(client.Event) error { return nil })
	defer disconnect()

	receipt, err := c.Publish(ctx, platform.Event{
		GatewayID: "edge",
		Type:      "api.deployed",
		Payload:   map[string]any{"apiId": "weather", "revision": 7},
		Key:       "weather",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := c.Wait(ctx, receipt.ID, platform.Applied)
	fmt.Println(status.Targets, "target,", status.Acked, "applied,", err)
	// Output:
	// 1 target, 1 applied, <nil>
}

// An event that the node refuses ends a publish at once.
func ExampleClient_Publish_refused() {
	node := startNode()
	defer node.stop()
	c := node.client()
	defer c.Close()

	_, err := c.Publish(context.Background(), platform.Event{GatewayID: "nobody", Type: "api.deployed"})
	if refused, ok := errors.AsType[*platform.Error](err); ok {
		fmt.Println(refused.Status, refused.Code, platform.Temporary(err))
	}
	// Output:
	// 404 not_found false
}

// A stream of events is published in one request. A result says which event it is about.
func ExampleClient_PublishAll() {
	node := startNode()
	defer node.stop()
	c := node.client()
	defer c.Close()

	ctx := context.Background()
	events := func(yield func(platform.Event) bool) {
		for _, api := range []string{"weather", "orders", "payments"} {
			if !yield(platform.Event{All: true, Type: "api.deployed", Payload: map[string]string{"apiId": api}}) {
				return
			}
		}
		yield(platform.Event{All: true, Type: "not a type"})
	}
	for result, err := range c.PublishAll(ctx, events) {
		if err != nil { // nothing more will be published
			fmt.Println(err)
			return
		}
		if refused, ok := errors.AsType[*platform.Error](result.Err); ok {
			fmt.Println(result.N, result.Event.Type, refused.Code, refused.Field)
			continue
		}
		fmt.Println(result.N, result.Event.Payload, result.Receipt.ID != "")
	}
	// Output:
	// 0 map[apiId:weather] true
	// 1 map[apiId:orders] true
	// 2 map[apiId:payments] true
	// 3 not a type invalid_event type
}

// A platform reads what gateways report. It continues after a restart, because its position is in
// a file.
func ExampleClient_Messages() {
	node := startNode()
	defer node.stop()
	c := node.client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	edge, err := c.AddGateway(ctx, platform.NewGateway{Name: "Edge gateway", ID: "edge"})
	if err != nil {
		fmt.Println(err)
		return
	}
	disconnect := node.connect(edge.Token, func(client.Event) error { return errors.New("no such API") })
	defer disconnect()
	if _, err := c.Publish(ctx, platform.Event{GatewayID: "edge", Type: "api.deployed"}); err != nil {
		fmt.Println(err)
		return
	}

	position := platform.FileCursor(filepath.Join(node.dir, "messages.cursor"))
	for m, err := range c.Messages(ctx, position, platform.MessageOptions{}) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(m.Type, m.GatewayID, m.Status, m.Error)
		cancel() // a real reader goes on
	}
	saved, err := position.Load(context.Background())
	fmt.Println(saved != "", err)
	// Output:
	// event.ack edge failed no such API
	// context canceled
	// true <nil>
}

// Tokens are rotated by adding one, moving the gateway's replicas to it, and revoking the old one.
func ExampleClient_AddToken() {
	node := startNode()
	defer node.stop()
	c := node.client()
	defer c.Close()
	ctx := context.Background()

	edge, err := c.AddGateway(ctx, platform.NewGateway{Name: "Edge gateway", ID: "edge"})
	if err != nil {
		fmt.Println(err)
		return
	}
	added, err := c.AddToken(ctx, "edge", time.Now().Add(90*24*time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.RevokeToken(ctx, "edge", edge.TokenID); err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := c.Tokens(ctx, "edge")
	fmt.Println(len(tokens), err, tokens[0].ID == added.ID, tokens[0].LastUsedAt.IsZero())
	for g, err := range c.Gateways(ctx) {
		fmt.Println(g.ID, g.Name, err)
	}
	fmt.Println(c.RemoveGateway(ctx, "edge"))
	// Output:
	// 1 <nil> true true
	// edge Edge gateway <nil>
	// <nil>
}

// Do calls a route that has no method of its own.
func ExampleClient_Do() {
	node := startNode()
	defer node.stop()
	c := node.client()
	defer c.Close()

	body, err := c.Do(context.Background(), "GET", platform.Root+"/stats?limit=1", "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer body.Close()
	var stats struct {
		GatewayConnections struct{ TotalActive int }
	}
	err = json.NewDecoder(body).Decode(&stats)
	fmt.Println(stats.GatewayConnections.TotalActive, err)
	// Output:
	// 0 <nil>
}

// A file has the private certificate of the internal listener.
func ExampleConfig_privateCertificate() {
	_, err := platform.New(platform.Config{
		URL:       "https://gatecast.internal:9244",
		TokenFile: "/etc/platform/gatecast.token",
		CAFile:    "/etc/platform/missing-ca.pem",
	})
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output:
	// true
}
