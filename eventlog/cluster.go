// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A cluster is NATS servers that others run, and that several nodes share.
type cluster struct{ url, node string }

// How soon the loss of a server is noticed, and another one tried.
const (
	clusterPing      = 2 * time.Second // between pings; the second without an answer is a loss
	clusterDial      = 2 * time.Second
	clusterReconnect = 250 * time.Millisecond
	clusterJitter    = 250 * time.Millisecond
	// clusterHeartbeat is how often a server says that a tail has missed nothing;
	// after twice that the tail asks another.
	clusterHeartbeat = time.Second
)

// String names the servers, without the passwords that may stand in their URLs.
func (c *cluster) String() string {
	servers := strings.Split(c.url, ",")
	for i, s := range servers {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil {
			servers[i] = u.Redacted()
		} else {
			servers[i] = "a server whose URL cannot be read"
		}
	}
	return "NATS at " + strings.Join(servers, ", ")
}

func (c *cluster) address() (url string, options []nats.Option) {
	return c.url, []nats.Option{
		nats.Name("gatecast " + c.node),
		nats.Timeout(clusterDial),
		nats.PingInterval(clusterPing),
		nats.MaxPingsOutstanding(1),
		nats.ReconnectWait(clusterReconnect),
		nats.ReconnectJitter(clusterJitter, clusterJitter),
	}
}

func (c *cluster) shared() bool { return true }

// What its servers have kept, lost or complain of is for those who run them.

func (c *cluster) recovered(context.Context, jetstream.JetStream) error { return nil }
func (c *cluster) generation() uint64                                   { return 0 }
func (c *cluster) because() string                                      { return "" }
func (c *cluster) health() error                                        { return nil }
func (c *cluster) stop() error                                          { return nil }
