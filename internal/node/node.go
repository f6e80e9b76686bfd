// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/connlog"
	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/internal/dispatch"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/front"
	"github.com/gatecast/gatecast/internal/listen"
	"github.com/gatecast/gatecast/internal/logqueue"
	"github.com/gatecast/gatecast/internal/natsstore"
	"github.com/gatecast/gatecast/internal/presence"
	"github.com/gatecast/gatecast/internal/reload"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/internal/tracing"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// A Node is a running node. Any goroutine can call its methods.
type Node struct {
	// Constant.
	cfg     Config
	started time.Time
	logs    *logqueue.Queue // cfg.Logger writes into it, and so never blocks
	counts  *metrics.Node

	// The parts, in the order of their start. Start sets them; each has its own locks.
	gatewayLn  net.Listener
	internalLn net.Listener
	tracer     *tracing.Tracer // nil: nothing is traced
	store      *natsstore.Store
	log        *eventlog.Log
	name       *presence.Name // nil if no other node can share the log
	recorder   *delivery.Recorder
	webSocket  *shard.WebSocket
	connlog    *connlog.Log
	router     *shard.Router
	registry   *auth.Registry
	dispatcher *dispatch.Dispatcher
	types      *eventTypes // nil: payloads are not checked
	// verify verifies a token. cachedGrant does so without a request to the platform; it
	// returns nil if it does not know the token.
	verify      func(token string) (*auth.Grant, error)
	cachedGrant func(token string) *auth.Grant
	known       func(token string) bool // see front.Config.Known
	peers       *presence.Peers         // nil if no other node can share the log
	api         *api.Server
	front       *front.Front
	files       []reload.Source // reloaded when they change
	reloader    *reload.Reloader

	// Lifecycle.
	stops    []func() // stop the parts that have started, see onStop; written by Start only
	stopping sync.Once
	draining atomic.Bool
	failed   chan error // why the node can no longer serve
}

// newNode returns a node of which only the log queue has started.
func newNode(cfg Config) *Node {
	n := &Node{cfg: cfg, started: time.Now(), failed: make(chan error, 3), counts: metrics.NewNode(cfg.Version)}
	n.logs = logqueue.New(cfg.Logger.Handler(), func(lines int) { n.counts.LogLinesDropped.Add(float64(lines)) })
	n.cfg.Logger = slog.New(n.logs.Handler())
	return n
}

// Start starts a node. When it returns, gateways can connect and events can be
// published. An error about a setting is a [*settings.Error].
func Start(ctx context.Context, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	descriptors, err := listen.RaiseDescriptorLimit()
	if err != nil {
		return nil, err
	}
	if err := listen.CheckDescriptors(cfg.MaxConnections, descriptors); err != nil {
		return nil, settings.NewError("max-connections", err.Error())
	}
	n := newNode(cfg)
	if err := n.start(ctx); err != nil {
		n.stop()
		n.logs.Close(logTimeout)
		return nil, err
	}
	n.cfg.Logger.Info("node started", "gateways", n.GatewayAddr().String(), "internal", n.InternalAddr().String(),
		"shards", n.cfg.Shards, "log", n.logName(), "cursor", n.log.Last())
	return n, nil
}

// start starts the parts, each after those that it uses.
func (n *Node) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		n.listen,
		n.startTracer,
		n.openLog,
		n.openDelivery,
		n.newServers,
		n.meetPeers,
		n.serve,
		n.joinPeers,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// newServers loads what the servers need, and makes them.
func (n *Node) newServers(context.Context) error {
	gatewayTLS, err := n.gatewayTLS()
	if err != nil {
		return err
	}
	admins, err := loadAdminTokens(n.cfg)
	if err != nil {
		return err
	}
	n.files = append(n.files, admins)
	if err := n.newVerifier(); err != nil {
		return err
	}
	platform, err := platformHandler(n.cfg)
	if err != nil {
		return err
	}
	if n.types, err = loadEventTypes(n.cfg); err != nil {
		return err
	}
	if n.types != nil {
		n.files = append(n.files, n.types)
	}
	if n.log.Shared() {
		n.peers = newPeers(n)
	}
	n.newAPI(admins)
	if n.peers != nil {
		n.onStop(n.peers.Leave)
	}
	n.newFront(gatewayTLS, platform)
	return nil
}

// logName returns where the log is, without passwords.
func (n *Node) logName() string {
	if n.cfg.LogURL() != "" {
		return n.log.Servers()
	}
	return n.cfg.Log
}

// fail reports that the log is unreachable for good: only another process can open it
// again.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default: // the node has failed already
	}
}

// Failed returns a channel that receives an error when the node can no longer serve.
func (n *Node) Failed() <-chan error { return n.failed }

// Logger returns the node's logger, which never blocks. After the node has ended it
// drops everything.
func (n *Node) Logger() *slog.Logger { return n.cfg.Logger }

// Reload reloads certificates, authorities, admin tokens and event types soon. The node
// does that by itself within seconds after their files have changed.
func (n *Node) Reload() { n.reloader.Request() }

// GatewayAddr returns the address that gateways connect to.
func (n *Node) GatewayAddr() net.Addr { return n.gatewayLn.Addr() }

// InternalAddr returns the address of the internal route.
func (n *Node) InternalAddr() net.Addr { return n.internalLn.Addr() }
