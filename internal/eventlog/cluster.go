// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

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

// String names the servers, without the passwords and tokens that may stand in
// their URLs.
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
			servers[i] = "a server whose URL cannot be read"
		}
	}
	return "NATS at " + strings.Join(servers, ", ")
}

// unreachable does not tell the URL as an error of net/url does, with its password.
func (c *cluster) unreachable(err error) error {
	if bad := (*url.Error)(nil); errors.As(err, &bad) {
		return fmt.Errorf("event log: connect to %s: mend the URL, and escape what is special in its password; it is host:port with nats:// before it", c)
	}
	if isAuthError(err) {
		return fmt.Errorf("event log: connect to %s: %w; give it the user and password, or the token, that its servers accept now", c, err)
	}
	return fmt.Errorf("event log: connect to %s: %w; see that its servers run and can be reached from here, or mend the URL", c, err)
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
func (c *cluster) trusts(string, *Lineage, uint64) bool                 { return true }
func (c *cluster) endLost() bool                                        { return false }
func (c *cluster) marked(string, *Lineage) error                        { return nil }
func (c *cluster) because() string                                      { return "" }
func (c *cluster) health() error                                        { return nil }
func (c *cluster) stop() error                                          { return nil }
