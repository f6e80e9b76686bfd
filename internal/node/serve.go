// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/internal/front"
	"github.com/gatecast/gatecast/internal/heap"
	"github.com/gatecast/gatecast/internal/listen"
	"github.com/gatecast/gatecast/internal/reload"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/stats/metrics"
)

// listen makes the data folder and binds both addresses. That is the most frequent
// problem of a start, so it comes first.
func (n *Node) listen(context.Context) (err error) {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return settings.NewError("data-dir", fmt.Sprintf("cannot be made: %v; name another folder, or see to the rights and the disk", err))
	}
	if n.gatewayLn, err = n.bind("listen", n.cfg.Listen); err != nil {
		return err
	}
	if n.internalLn, err = n.bind("internal-listen", n.cfg.InternalListen); err != nil {
		return err
	}
	n.internalLn, err = n.internalTLS(n.internalLn)
	return err
}

// bind binds the address of a setting.
func (n *Node) bind(setting, address string) (net.Listener, error) {
	ln, err := listen.TCP(address)
	if err != nil {
		return nil, settings.NewError(setting, fmt.Sprintf("cannot listen on %s: %v", address, err))
	}
	n.onStop(func() { _ = ln.Close() }) // an error: its server has closed it
	return ln, nil
}

// newAPI makes the server of the internal route. It does not accept yet, but other nodes
// can already ask it for its part of the stats. Stopping cuts off what Drain has left: its
// context has ended.
func (n *Node) newAPI(admins *adminTokens) {
	cfg := api.Config{
		NodeID:      n.cfg.NodeID,
		Version:     n.cfg.Version,
		StartedAt:   n.started,
		MaxPayload:  n.cfg.MaxPayload,
		Admin:       admins,
		Log:         apiLog{n.log},
		Registry:    n.registry,
		Connections: apiConnections{n.router, n.peers},
		Events:      apiEvents{n},
		Failures:    apiFailures{n.recorder},
		Messages:    apiMessages{n.recorder},
		Missed:      func(m api.Missed) { n.recorder.Missed(delivery.Missed(m)) },
		Tracer:      apiTracerOf(n.tracer),
		Shards:      n.router.Stats(),
		Node:        n.counts,
		Metrics:     metrics.Handler(metrics.NewRegistry(n.counts, n.router.Stats())),
		Ready:       n.ready,
		TempDir:     n.cfg.DataDir,
		Logger:      n.cfg.Logger,
	}
	// Only if there are any: an interface with a nil pointer in it is not nil.
	if n.peers != nil {
		cfg.Cluster = apiCluster{n.peers}
	}
	if n.types != nil {
		cfg.Types = n.types
	}
	if n.cfg.VerifyURL != "" {
		cfg.RevokeVerified = n.revokeVerified
	}
	n.api = api.New(cfg)
	n.onStop(func() { _ = n.api.Shutdown(expired) })
}

// newFront makes the server of the gateway listener. It does not accept yet. Its functions
// are called on the goroutines of handshakes, many at a time, and never on a loop.
func (n *Node) newFront(gatewayTLS *poller.TLS, platform http.Handler) {
	origins, _ := settings.CanonicalOrigins(n.cfg.AllowedOrigins) // Validate has checked them
	n.front = front.New(front.Config{
		TLS:               gatewayTLS,
		Verify:            n.verify,
		CachedGrant:       n.cachedGrant,
		Known:             n.known,
		VerifyCertificate: n.registry.VerifyCertificate,
		CatchUp:           n.catchUp,
		Limiter:           auth.NewAttemptLimiter(n.cfg.RateLimit),
		Limits: front.Limits{
			Total: n.cfg.MaxConnections, Gateway: n.cfg.MaxConnectionsPerGateway, Org: n.cfg.MaxConnectionsPerOrg,
		},
		ConnectPaths:   n.cfg.ConnectPath,
		AllowFrom:      n.cfg.AllowFrom,
		AllowedOrigins: origins,
		Proxies:        n.cfg.TrustedProxies,
		Platform:       platform,
		Register:       n.router.Register,
		Resume:         n.dispatcher.ResumeFrom,
		Barrier:        n.dispatcher.Barrier,
		WebSocket:      n.webSocket,
		Compression:    n.cfg.Compression,
		// Without the log or the registry an upgrade gets a 503 and never a 401: a gateway
		// that is refused for good exits.
		Available: func() bool { return n.dispatcher.Healthy() && n.log.Reachable() && n.registry.Synced() },
		Node:      n.counts,
		Logger:    n.cfg.Logger,
	})
	n.onStop(func() { _ = n.front.Drain(expired) })
}

// serve starts accepting on both listeners, and the upkeep of a node that serves: memory
// that a burst of handshakes has left is returned to the system (ADR 9), and changed files
// are reloaded. The kernel has queued connections since both addresses were bound.
func (n *Node) serve(context.Context) error {
	trimmer := heap.StartTrimmer()
	n.onStop(trimmer.Stop)
	n.reloader = reload.New(n.files, n.cfg.Logger)
	n.reloader.Start()
	n.onStop(n.reloader.Stop)
	go n.accept("gateway listener", n.front.Serve, n.retrying("gateways", n.gatewayLn))
	go n.accept("internal listener", n.api.Serve, n.retrying("internal", n.internalLn))
	return nil
}

// accept serves a listener until the node drains. If the server ends before, the node
// fails: a node with one listener would look healthy to one side only.
func (n *Node) accept(what string, serve func(net.Listener) error, ln net.Listener) {
	if err := serve(ln); err != nil && !n.draining.Load() {
		n.failed <- fmt.Errorf("%s: %w", what, err)
	}
}

// retrying returns a listener that retries when the system is short of something. name
// is its label in metrics.
func (n *Node) retrying(name string, ln net.Listener) net.Listener {
	count := func(errno string) { n.counts.AcceptErrors.WithLabelValues(name, errno).Inc() }
	return &listen.Retrying{Listener: ln, Name: name, Count: count, Logger: n.cfg.Logger}
}

// ready returns why the node cannot accept gateways, or nil. Its text is the reason that
// /ready shows. The cheap checks come first: Check asks the servers of a shared log.
func (n *Node) ready(ctx context.Context) error {
	if n.draining.Load() {
		return errors.New("draining")
	}
	if !n.dispatcher.Healthy() {
		return errors.New("the event log cannot be read")
	}
	if err := n.log.Check(ctx); err != nil {
		return err
	}
	if !n.registry.Synced() {
		return errors.New("the registry is not in sync with the log's; changes of other nodes may not be known here")
	}
	return nil
}
