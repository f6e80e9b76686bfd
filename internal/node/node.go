// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/front"
	"github.com/gatecast/gatecast/internal/logqueue"
	"github.com/gatecast/gatecast/internal/natsstore"
	"github.com/gatecast/gatecast/internal/presence"
	"github.com/gatecast/gatecast/internal/reload"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/internal/tracing"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// registryBucket is where the log keeps the registry.
const registryBucket = "gatecast_registry"

// maxGatewayMessage bounds a message from a gateway, in bytes.
const maxGatewayMessage = 64 << 10

// A Node is a running node. Its methods may be called by any goroutine.
type Node struct {
	cfg     Config
	started time.Time

	gatewayLn  net.Listener
	internalLn net.Listener

	store     *natsstore.Store // under the log and the registry
	log       *eventlog.Log
	lineage   atomic.Pointer[eventlog.Lineage] // of the log, as the shards have it; the tail writes it
	before    uint64                           // the tail's: the newest event in the log when the node started
	recorder  *delivery.Recorder
	peers     *presence.Peers // nil if no other node can share the log
	name      *presence.Name  // nil likewise
	registry  *auth.Registry
	verify    func(token string) (*auth.Grant, error)
	known     func(token string) *auth.Grant // the same without asking anybody; nil for none
	router    *shard.Router
	webSocket *shard.WebSocket
	front     *front.Front
	api       *api.Server
	counts    *metrics.Node
	logs      *logqueue.Queue // behind cfg.Logger
	notices   *noticeLog
	tracer    *tracing.Tracer // nil: nothing is traced
	tail      *tail
	trimmer   *trimmer
	files     []reload.Source // reloaded when they change
	types     *eventTypes     // nil: payloads are not checked
	reloader  *reload.Reloader

	draining atomic.Bool
	stopping sync.Once
	failed   chan error // what ended a listener that should not have ended
}

// newNode returns a node that has not begun anything but its log's queue.
func newNode(cfg Config) *Node {
	n := &Node{cfg: cfg, started: time.Now(), failed: make(chan error, 3), counts: metrics.NewNode(cfg.Version)}
	n.logs = logqueue.New(cfg.Logger.Handler(), func(lines int) { n.counts.LogLinesDropped.Add(float64(lines)) })
	n.cfg.Logger = slog.New(n.logs.Handler())
	return n
}

// Start starts a node. When it returns, gateways can connect and events can be
// published. An error about a setting is a [*settings.Error].
func Start(ctx context.Context, cfg Config) (_ *Node, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := raiseDescriptorLimit(cfg.MaxConnections); err != nil {
		return nil, err
	}
	n := newNode(cfg)
	cfg = n.cfg
	defer func() {
		if err != nil {
			n.stop()
			n.logs.Close(logTimeout)
		}
	}()
	if err := n.prepare(); err != nil {
		return nil, err
	}
	if err := n.openLog(ctx); err != nil {
		return nil, err
	}
	gatewayTLS, err := n.gatewayTLS()
	if err != nil {
		return nil, err
	}
	admins, err := loadAdminTokens(n.cfg)
	if err != nil {
		return nil, err
	}
	n.files = append(n.files, admins)
	if err := n.loadVerifier(); err != nil {
		return nil, err
	}
	platform, err := platformHandler(cfg)
	if err != nil {
		return nil, err
	}
	if n.types, err = loadEventTypes(n.cfg); err != nil {
		return nil, err
	}
	if n.types != nil {
		n.files = append(n.files, n.types)
	}
	if n.peers != nil {
		if err := n.peers.Meet(ctx); err != nil {
			return nil, err
		}
	}
	n.serve(gatewayTLS, platform, admins)
	if n.peers != nil {
		if err := n.peers.Join(); err != nil {
			return nil, err
		}
	}
	if n.name != nil {
		if err := n.name.Settle(ctx); err != nil {
			return nil, nameError(err)
		}
	}
	cfg.Logger.Info("node started", "gateways", n.GatewayAddr().String(), "internal", n.InternalAddr().String(),
		"shards", cfg.Shards, "log", n.logKept(), "cursor", n.log.Last())
	return n, nil
}

// logKept says where the log is, in words that may be logged.
func (n *Node) logKept() string {
	if n.cfg.LogURL() != "" {
		return n.log.Servers()
	}
	return n.cfg.Log
}

// prepare makes the data folder and binds the addresses, which is what goes
// wrong most often.
func (n *Node) prepare() (err error) {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return settings.NewError("data-dir", fmt.Sprintf("cannot be made: %v; name another folder, or see to the rights and the disk", err))
	}
	if n.gatewayLn, err = listen("listen", n.cfg.Listen); err != nil {
		return err
	}
	if n.internalLn, err = listen("internal-listen", n.cfg.InternalListen); err != nil {
		return err
	}
	n.internalLn, err = n.internalTLS(n.internalLn)
	return err
}

// listen binds a TCP address. Keep-alive probes are off: pings do their work,
// and find out more.
func listen(setting, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, settings.NewError(setting, fmt.Sprintf("cannot listen on %s: %v", address, err))
	}
	return ln, nil
}

// openLog opens the log and what feeds on it: shards, registry, tail.
func (n *Node) openLog(ctx context.Context) (err error) {
	n.webSocket = &shard.WebSocket{MaxMessage: maxGatewayMessage, ShutdownCode: frame.CloseCode(n.cfg.ShutdownCode)}
	if n.tracer, err = startTracer(n.cfg, n.counts); err != nil {
		return err
	}
	if n.store, err = natsstore.Open(ctx, n.storeConfig()); err != nil {
		return err
	}
	if n.log, err = eventlog.Open(ctx, n.store, n.logConfig()); err != nil {
		return err
	}
	if n.log.Shared() {
		if n.name, err = claimName(ctx, n.log.Bus(), n.cfg.NodeID); err != nil {
			return err
		}
	}
	if n.recorder, err = delivery.Open(ctx, n.recorderConfig()); err != nil {
		return err
	}
	n.notices = startNoticeLog(n.cfg.Logger, n.counts)
	in := n.log.Lineage()
	n.lineage.Store(in)
	before := n.log.Last()
	n.before = before.Seq
	start, err := n.log.Back(ctx, int64(n.cfg.ReplayMemory))
	if err != nil {
		return err
	}
	if err = n.startShards(start); err != nil {
		return err
	}
	if err = n.openRegistry(ctx); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	n.recorder.OnRemoteStart(func(gatewayID string) {
		if n.registry.HasLocal(gatewayID) {
			n.router.ReportNow(gatewayID)
		}
	})
	n.tail = startTail(n.log, in, start.Seq, n.dispatch, n.turn, n.cfg.Logger)
	if n.log.Shared() {
		n.peers = newPeers(n)
	}
	// Gateways that come back after a restart find what they missed in memory.
	return n.tail.reach(ctx, before)
}

// openRegistry opens the registry in its bucket of the store.
func (n *Node) openRegistry(ctx context.Context) error {
	bucket, err := n.store.Bucket(ctx, registryBucket)
	if err != nil {
		return err
	}
	patience := time.Duration(0)
	if n.log.Shared() { // its servers may be choosing a leader
		patience = natsstore.OpenPatience
	}
	n.registry, err = auth.Open(ctx, bucket, auth.Options{
		Logger:    n.cfg.Logger,
		External:  n.cfg.VerifyURL != "",
		Position:  n.log.Position,
		RetryFor:  patience,
		OnCorrupt: func(err error) { n.log.Skipped(eventlog.SourceRegistry, registryBucket, err) },
		OnRevoke:  func(r auth.Revocation) { n.router.Kick(r.GatewayID, r.TokenID, r.Reason) },
	})
	return err
}

// storeConfig returns where the log and the registry are stored.
func (n *Node) storeConfig() natsstore.Config {
	return natsstore.Config{
		Dir:           filepath.Join(n.cfg.DataDir, "log"),
		Sentinel:      filepath.Join(n.cfg.DataDir, "log.json"),
		InMemory:      n.cfg.Log == settings.LogMemory,
		URL:           n.cfg.LogURL(),
		Replicas:      n.cfg.LogReplicas,
		Node:          n.cfg.NodeID,
		SyncAlways:    n.cfg.LogSync == settings.SyncAlways,
		Repair:        n.cfg.Repair,
		MaxEventBytes: n.cfg.MaxPayload,
		OnLost:        n.lost,
		Logger:        n.cfg.Logger,
	}
}

// logConfig returns what the log keeps.
func (n *Node) logConfig() eventlog.Config {
	return eventlog.Config{
		Retention:      n.cfg.Retention,
		RetentionBytes: n.cfg.RetentionBytes,
		Node:           n.cfg.NodeID,
		OnSkipped:      func(s eventlog.Source) { n.counts.ForeignMessages.WithLabelValues(string(s)).Inc() },
		Logger:         n.cfg.Logger,
	}
}

// recorderConfig returns how delivery status is recorded.
func (n *Node) recorderConfig() delivery.Config {
	return delivery.Config{
		NodeID:         n.cfg.NodeID,
		Log:            n.log,
		Retention:      n.cfg.Retention,
		RetentionBytes: n.cfg.RetentionBytes,
		IsTarget:       n.wasFor,
		Counts:         n.counts,
		Logger:         n.cfg.Logger,
	}
}

// startShards starts the loops at a place in the log.
func (n *Node) startShards(start event.Cursor) (err error) {
	n.router, err = shard.Start(shard.Config{
		Shards:         n.cfg.Shards,
		Start:          start,
		Lineage:        n.lineage.Load(),
		PingInterval:   n.cfg.PingInterval,
		Timeout:        n.cfg.ConnectionTimeout,
		SendQueueBytes: n.cfg.SendQueueBytes,
		ReadMessages:   n.cfg.ReadLimitMessages,
		ReadBytes:      n.cfg.ReadLimitBytes,
		ReplayMemory:   n.cfg.ReplayMemory,
		Read:           n.readLog,
		Logger:         n.cfg.Logger,
		Report:         n.recorder.Report,
		Notify:         n.notify,
	})
	return err
}

func (n *Node) frontConfig(gatewayTLS *poller.TLS, platform http.Handler) front.Config {
	origins, _ := settings.CanonicalOrigins(n.cfg.AllowedOrigins) // Validate has seen them
	return front.Config{
		TLS:               gatewayTLS,
		Verify:            n.verify,
		CachedGrant:       n.known,
		VerifyCertificate: n.registry.VerifyCertificate,
		CatchUp:           n.catchUp,
		Limiter:           auth.NewIPLimiter(n.cfg.RateLimit),
		Limits: front.Limits{
			Total: n.cfg.MaxConnections, Gateway: n.cfg.MaxConnectionsPerGateway, Org: n.cfg.MaxConnectionsPerOrg,
		},
		AllowFrom:      n.cfg.AllowFrom,
		AllowedOrigins: origins,
		Proxies:        n.cfg.TrustedProxies,
		Platform:       platform,
		Register:       n.router.Register,
		Resume:         n.resume,
		Barrier:        n.barrierOf,
		WebSocket:      n.webSocket,
		Compression:    n.cfg.Compression,
		Available:      func() bool { return n.tail.healthy() && n.log.Reachable() && n.registry.Synced() },
		Node:           n.counts,
		Logger:         n.cfg.Logger,
	}
}

// serve starts both listeners.
func (n *Node) serve(gatewayTLS *poller.TLS, platform http.Handler, admins *adminTokens) {
	n.front = front.New(n.frontConfig(gatewayTLS, platform))
	var cluster api.Cluster
	if n.peers != nil {
		cluster = apiCluster{n.peers}
	}
	var types api.Types
	if n.types != nil {
		types = n.types
	}
	var endVerified func(context.Context, string) error
	if n.cfg.VerifyURL != "" {
		endVerified = n.endVerified
	}
	n.api = api.New(api.Config{
		NodeID:         n.cfg.NodeID,
		Version:        n.cfg.Version,
		StartedAt:      n.started,
		MaxPayload:     n.cfg.MaxPayload,
		Admin:          admins,
		Log:            apiLog{n.log},
		Registry:       n.registry,
		Connections:    apiConnections{n.router, n.peers},
		Events:         apiEvents{n},
		Failures:       apiFailures{n.recorder},
		Messages:       apiMessages{n.recorder},
		Missed:         func(m api.Missed) { n.recorder.Missed(delivery.Missed(m)) },
		Types:          types,
		Tracer:         apiTracerOf(n.tracer),
		Cluster:        cluster,
		RevokeVerified: endVerified,
		Shards:         n.router.Stats(),
		Node:           n.counts,
		Metrics:        metrics.Handler(metrics.NewRegistry(n.counts, n.router.Stats())),
		Ready:          n.ready,
		TempDir:        n.cfg.DataDir,
		Logger:         n.cfg.Logger,
	})
	n.trimmer = startTrimmer()
	n.reloader = reload.New(n.files, n.cfg.Logger)
	n.reloader.Start()
	go func() { n.ended("gateway listener", n.front.Serve(n.patient("gateways", n.gatewayLn))) }()
	go func() { n.ended("internal listener", n.api.Serve(n.patient("internal", n.internalLn))) }()
}

func (n *Node) patient(name string, ln net.Listener) net.Listener {
	return &patientListener{ln, name, n.counts, n.cfg.Logger}
}

// ended reports a listener that ended by itself.
func (n *Node) ended(what string, err error) {
	if err != nil && !n.draining.Load() {
		n.failed <- fmt.Errorf("%s: %w", what, err)
	}
}

// lost reports that the log is out of reach for good: only another process can have it.
func (n *Node) lost(err error) {
	select {
	case n.failed <- err:
	default: // it has failed already
	}
}

// Logger returns the node's logger, which never blocks. After the node has ended it
// drops what it is given.
func (n *Node) Logger() *slog.Logger { return n.cfg.Logger }

// Failed tells when the node can no longer serve.
func (n *Node) Failed() <-chan error { return n.failed }

// Reload reloads certificates, authorities, admin tokens and event types, which the node does
// by itself within seconds when their files have changed.
func (n *Node) Reload() { n.reloader.Request() }

// GatewayAddr returns the address that gateways connect to.
func (n *Node) GatewayAddr() net.Addr { return n.gatewayLn.Addr() }

// InternalAddr returns the address of the internal route.
func (n *Node) InternalAddr() net.Addr { return n.internalLn.Addr() }

// ready returns why the node cannot accept gateways, or nil.
func (n *Node) ready(ctx context.Context) error {
	if n.draining.Load() {
		return errors.New("draining")
	}
	if !n.tail.healthy() {
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

// Drain ends the node in order: it is no longer ready, accepts nobody, answers
// the publishes under way, delivers what the log has, and closes every
// connection behind what is queued for it, spread over the shutdown timeout.
// When ctx ends first, the rest is cut off. Drain may be called once.
func (n *Node) Drain(ctx context.Context) error {
	n.draining.Store(true)
	n.cfg.Logger.Info("draining", "connections", n.front.Live(), "timeout", n.cfg.ShutdownTimeout.String())
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ShutdownTimeout)
	defer cancel()
	err := n.wind(ctx)
	n.stop()
	defer n.logs.Close(logTimeout)
	if err != nil {
		return fmt.Errorf("the drain was cut short: %w", err)
	}
	n.cfg.Logger.Info("drained")
	return nil
}

// logTimeout is how long the end of a node waits for what is to be logged still:
// standard error may be a pipe that nobody reads.
const logTimeout = time.Second

// answerTimeout is what requests of the internal route have, once every
// connection is gone.
const answerTimeout = time.Second

// wind takes the steps of a drain. It is an error when something that was
// published may not have been delivered; peers and clients that take longer than
// they are given are cut off, which is what the timeout is for.
func (n *Node) wind(ctx context.Context) error {
	n.front.StopUpgrades() // the listener stays: who comes late is told to go elsewhere
	err := errors.Join(
		n.api.StopPublishing(ctx),
		n.tail.reach(ctx, n.log.Last()),
	)
	n.tellCutOff("connections that did not answer their goodbye were cut off",
		n.router.Drain(ctx, spread(n.front.Live(), n.cfg.ShutdownTimeout)))
	n.tellCutOff("requests on the gateway listener were cut off", n.front.Drain(ctx))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	n.tellCutOff("requests on the internal route were cut off", n.api.Shutdown(ctx))
	return err
}

func (n *Node) tellCutOff(what string, err error) {
	if err != nil {
		n.cfg.Logger.Warn(what, "connections", n.front.Live(), "error", err)
	}
}

// spread returns the time over which so many connections are closed: most of
// the timeout, but not so long that a few are closed one by one.
func spread(connections int, timeout time.Duration) time.Duration {
	return min(timeout*8/10, time.Duration(connections)*100*time.Millisecond)
}

// stop ends everything at once: who calls a part of the node ends before that part
// does. A call that comes too late all the same, from a request that was cut off and
// has not noticed, is refused by the part. Stop may be called again, to no effect.
func (n *Node) stop() { n.stopping.Do(n.stopAll) }

func (n *Node) stopAll() {
	n.stopCallers()
	n.stopSources()
	if n.router != nil { // its last words are for notices and recorder
		n.router.Stop()
	}
	if n.notices != nil { // its last words are for the recorder
		n.notices.stop()
	}
	if n.recorder != nil { // it writes to the log
		n.recorder.Stop()
	}
	if n.name != nil {
		n.name.Release()
	}
	if n.log != nil {
		n.log.Close()
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.cfg.Logger.Error("event log did not close cleanly", "error", err)
		}
	}
	if n.tracer != nil { // last: nothing else waits for a collector
		stopTracer(n.tracer, n.cfg.Logger)
	}
}

// stopCallers ends what other programs reach the node by: they call everything else.
func (n *Node) stopCallers() {
	expired, cancel := context.WithCancel(context.Background())
	cancel()
	if n.front != nil {
		_ = n.front.Drain(expired)
	}
	if n.peers != nil {
		n.peers.Leave()
	}
	if n.api != nil {
		_ = n.api.Shutdown(expired)
	}
	for _, ln := range []net.Listener{n.gatewayLn, n.internalLn} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// stopSources ends the goroutines of the node's own that call router, recorder and
// log: the reloader, the tail, and the registry, which kicks connections.
func (n *Node) stopSources() {
	if n.trimmer != nil {
		n.trimmer.stop()
	}
	if n.reloader != nil {
		n.reloader.Stop()
	}
	if n.tail != nil {
		n.tail.stop()
	}
	if n.registry != nil { // it stores last uses, and so needs the log
		n.registry.Close()
	}
}
