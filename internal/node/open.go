// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/internal/connlog"
	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/internal/dispatch"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/natsstore"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/shard"
)

// registryBucket is the registry's bucket in the store.
const registryBucket = "gatecast_registry"

// maxGatewayMessage bounds a message from a gateway, in bytes. A longer one closes the
// connection with code 1009 (RFC 6455 section 7.4.1).
const maxGatewayMessage = 64 << 10

// openLog opens the store and the log in it. If the log is shared, it claims the node's
// name first: two nodes of one name must not write to it.
func (n *Node) openLog(ctx context.Context) (err error) {
	n.store, err = natsstore.Open(ctx, natsstore.Config{
		Dir:           filepath.Join(n.cfg.DataDir, "log"),
		Sentinel:      filepath.Join(n.cfg.DataDir, "log.json"),
		InMemory:      n.cfg.Log == settings.LogMemory,
		URL:           n.cfg.LogURL(),
		Replicas:      n.cfg.LogReplicas,
		Node:          n.cfg.NodeID,
		SyncAlways:    n.cfg.LogSync == settings.SyncAlways,
		Repair:        n.cfg.Repair,
		MaxEventBytes: n.cfg.MaxPayload,
		OnLost:        n.fail,
		Logger:        n.cfg.Logger,
	})
	if err != nil {
		return err
	}
	n.onStop(func() {
		if err := n.store.Close(); err != nil {
			n.cfg.Logger.Error("event log did not close cleanly", "error", err)
		}
	})
	n.log, err = eventlog.Open(ctx, n.store, eventlog.Config{
		Retention:      n.cfg.Retention,
		RetentionBytes: n.cfg.RetentionBytes,
		Node:           n.cfg.NodeID,
		OnSkipped:      func(s eventlog.Source) { n.counts.ForeignMessages.WithLabelValues(string(s)).Inc() },
		Logger:         n.cfg.Logger,
	})
	if err != nil {
		return err
	}
	n.onStop(n.log.Close)
	return n.claimName(ctx)
}

// openRecorder opens the recorder of delivery status and reads its journals. It starts
// before the shards, which report to it, and so before the registry; it calls isTarget only
// after the registry is open.
func (n *Node) openRecorder(ctx context.Context) (err error) {
	n.recorder, err = delivery.Open(ctx, delivery.Config{
		NodeID:         n.cfg.NodeID,
		Log:            n.log,
		Retention:      n.cfg.Retention,
		RetentionBytes: n.cfg.RetentionBytes,
		IsTarget:       n.isTarget,
		Counts:         n.counts,
		Logger:         n.cfg.Logger,
	})
	if err == nil {
		n.onStop(n.recorder.Stop)
	}
	return err
}

// isTarget reports whether an event was for a gateway.
func (n *Node) isTarget(gatewayID string, t event.Target, id event.Cursor, published time.Time) bool {
	g := n.registry.Lookup(gatewayID)
	return g != nil && n.dispatcher.IsTarget(g, t, id, published)
}

// startShards starts the loops. Their windows begin at a position in the log: the
// dispatcher then fills them from there, and a gateway that reconnects after a restart
// finds the events that it missed in memory.
func (n *Node) startShards(start event.Cursor) (err error) {
	n.connlog = connlog.Start(n.cfg.Logger, func(lines int) { n.counts.LogLinesDropped.Add(float64(lines)) })
	n.onStop(n.connlog.Stop)
	n.router, err = shard.Start(shard.Config{
		Shards:         n.cfg.Shards,
		Start:          start,
		Lineage:        n.dispatcher.Lineage(),
		PingInterval:   n.cfg.PingInterval,
		Timeout:        n.cfg.ConnectionTimeout,
		SendQueueBytes: n.cfg.SendQueueBytes,
		ReadMessages:   n.cfg.ReadLimitMessages,
		ReadBytes:      n.cfg.ReadLimitBytes,
		ReplayMemory:   n.cfg.ReplayMemory,
		Read:           n.dispatcher.Read,
		Logger:         n.cfg.Logger,
		Report:         n.recorder.Report,
		Notify:         n.notify,
	})
	if err == nil {
		n.onStop(n.router.Stop)
	}
	return err
}

// notify takes what happens on the loops. The record of a failed delivery does not
// depend on whether the log keeps up. It never blocks.
func (n *Node) notify(notice shard.Notice) {
	if notice.Kind == shard.DeliveryFailed {
		n.recorder.Failed(notice)
	}
	n.connlog.Push(notice)
}

// openRegistry opens the registry in its bucket of the store.
func (n *Node) openRegistry(ctx context.Context) error {
	bucket, err := n.store.Bucket(ctx, registryBucket)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	retryFor := time.Duration(0)
	if n.log.Shared() { // the servers may be electing a leader
		retryFor = natsstore.OpenPatience
	}
	n.registry, err = auth.Open(ctx, bucket, auth.Options{
		Logger:    n.cfg.Logger,
		External:  n.cfg.VerifyURL != "",
		Position:  n.log.Position,
		RetryFor:  retryFor,
		OnCorrupt: func(err error) { n.log.Skipped(eventlog.SourceRegistry, registryBucket, err) },
		// On the registry's goroutine, which a command to a loop never blocks.
		OnRevoke: func(r auth.Revocation) { n.router.Kick(r.GatewayID, r.TokenID, r.Reason) },
	})
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	n.onStop(n.registry.Close)
	// Another node noted that a connection of the gateway began there. This node then reports
	// how far its own connections are, so that both agree on what the gateway was sent.
	n.recorder.OnRemoteStart(func(gatewayID string) {
		if n.registry.HasLocal(gatewayID) {
			n.router.ReportNow(gatewayID)
		}
	})
	return nil
}

// openDelivery opens everything between the log and the connections: recorder, shards,
// registry and dispatcher. It returns when the shards have the newest events.
func (n *Node) openDelivery(ctx context.Context) error {
	if err := n.openRecorder(ctx); err != nil {
		return err
	}
	n.webSocket = &shard.WebSocket{MaxMessage: maxGatewayMessage, ShutdownCode: frame.CloseCode(n.cfg.ShutdownCode)}
	n.dispatcher = dispatch.New(dispatch.Config{
		Log:                  n.log,
		Recorder:             n.recorder,
		WebSocket:            n.webSocket,
		CompressionThreshold: n.cfg.CompressionThreshold,
		Tracer:               n.tracer,
		Reach:                func(t event.Target) (int, int, string) { return n.registry.Reach(t) },
		Counts:               n.counts,
		Logger:               n.cfg.Logger,
	})
	start, err := n.log.Back(ctx, int64(n.cfg.ReplayMemory))
	if err != nil {
		return err
	}
	if err := n.startShards(start); err != nil {
		return err
	}
	if err := n.openRegistry(ctx); err != nil {
		return err
	}
	// Last: the first event that is dispatched asks the registry who its targets are.
	n.onStop(n.dispatcher.Stop)
	return n.dispatcher.Start(ctx, n.router, start.Seq)
}
