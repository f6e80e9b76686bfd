// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"

	"gatecast/client"
)

// A gateway that keeps a connection until it is interrupted.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := client.Run(ctx, client.Config{
		URL:   "wss://gatecast.example:9243",
		Token: os.Getenv("GATECAST_TOKEN"),
		Handler: func(_ context.Context, e client.Event) {
			fmt.Println(e.ID, e.Type, string(e.Payload))
		},
		OnState: func(s client.State) {
			if s.Phase == client.Waiting {
				log.Printf("no connection: %v; trying again in %v", s.Err, s.Wait)
			}
		},
	})
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		log.Fatalf("check the token: %v", refused)
	}
}

// One connection, whose end the program sees to itself.
func ExampleDial() {
	ctx := context.Background()
	conn, err := client.Dial(ctx, client.Config{
		URL:   "wss://gatecast.example:9243",
		Token: os.Getenv("GATECAST_TOKEN"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println("connected as", conn.Ack().GatewayID)
	for {
		e, err := conn.Next(ctx)
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Println(e.ID, e.Type)
	}
}
