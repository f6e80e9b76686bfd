// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A cluster is NATS servers that other programs run and several nodes share.
type cluster struct{ url, node string }

// How soon the loss of a server is noticed, and another server tried.
const (
	clusterPing      = 2 * time.Second // between pings; the second without an answer is a loss
	clusterDial      = 2 * time.Second
	clusterReconnect = 250 * time.Millisecond
	clusterJitter    = 250 * time.Millisecond
	// clusterHeartbeat is the interval of a server's heartbeats to a reader. After two
	// missing heartbeats the reader asks another server.
	clusterHeartbeat = time.Second
)

// String names the servers, without the passwords and tokens that can be in their URLs.
func (c *cluster) String() string {
	servers := strings.Split(c.url, ",")
	for i, s := range servers {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") { // as nats.go reads it
			s = "nats://" + s
		}
		if u, err := url.Parse(s); err == nil {
			servers[i] = u.Scheme + "://" + u.Host
		} else {
			servers[i] = "a server with an invalid URL"
		}
	}
	return "NATS at " + strings.Join(servers, ", ")
}

// unreachable does not repeat an error of net/url, which contains the password.
func (c *cluster) unreachable(err error) error {
	if bad := (*url.Error)(nil); errors.As(err, &bad) {
		return fmt.Errorf("event log: connect to %s: correct the URL, and escape special characters in its password; the form is nats://host:port", c)
	}
	if isAuthError(err) {
		return fmt.Errorf("event log: connect to %s: %w; give it the user and password, or the token, that its servers accept now", c, err)
	}
	return fmt.Errorf("event log: connect to %s: %w; check that its servers run and are reachable from here, or correct the URL", c, err)
}

// address returns options with short timeouts. A node that is cut off must notice it, because
// it stops being ready and gateways move to other nodes.
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

// Those who run the servers are responsible for what they have stored, lost or logged.

func (c *cluster) recovered(context.Context, jetstream.JetStream) error { return nil }
func (c *cluster) lastError() string                                    { return "" }
func (c *cluster) health() error                                        { return nil }
func (c *cluster) stop() error                                          { return nil }
