// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// logTimeout is how long the end of a node waits for its last log lines: standard error
	// can be a pipe that nobody reads.
	logTimeout = time.Second
	// requestTimeout is how long requests of the internal route have, once every connection
	// is closed.
	requestTimeout = time.Second
)

// expired is a context that has ended: what stops by it does so at once.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Drain ends the node in order: it is no longer ready and refuses new connections,
// answers the publishes in progress, delivers what the log has, and closes every
// connection after what is queued for it, spread over the shutdown timeout. When
// ctx ends first, the rest is cut off. Drain can be called once.
func (n *Node) Drain(ctx context.Context) error {
	n.draining.Store(true)
	n.cfg.Logger.Info("draining", "connections", n.front.Live(), "timeout", n.cfg.ShutdownTimeout.String())
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ShutdownTimeout)
	defer cancel()
	err := n.finish(ctx)
	n.stop()
	defer n.logs.Close(logTimeout)
	if err != nil {
		return fmt.Errorf("the drain was cut short: %w", err)
	}
	n.cfg.Logger.Info("drained")
	return nil
}

// finish takes the steps of a drain. It is an error if something that was published may
// not have been delivered. Peers and clients that take longer than they have are cut
// off, which is only logged.
func (n *Node) finish(ctx context.Context) error {
	// The order matters. No new connection, then no new event, then everything that has a
	// receipt is on the send queues: only then do close frames follow it.
	n.front.StopUpgrades() // the listener stays open: late upgrades get a 503
	err := errors.Join(
		n.api.StopPublishing(ctx),
		n.dispatcher.Reached(ctx),
	)
	n.logCutOff("connections that did not answer their close frame were cut off",
		n.router.Drain(ctx, drainTime(n.front.Live(), n.cfg.ShutdownTimeout)))
	n.logCutOff("requests on the gateway listener were cut off", n.front.Drain(ctx))
	// Last, so that the drain can be watched; and with time of its own, if the drain used up
	// all of ctx.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	n.logCutOff("requests on the internal route were cut off", n.api.Shutdown(ctx))
	return err
}

// logCutOff logs that a step of the drain ended by its time limit. The peers concerned were
// slow; no event is lost by it, since each stays in the log until it is delivered.
func (n *Node) logCutOff(what string, err error) {
	if err != nil {
		n.cfg.Logger.Warn(what, "connections", n.front.Live(), "error", err)
	}
}

// drainTime returns over which time so many connections are closed: at most 80% of the
// timeout, and a tenth of a second per connection, so that a few are closed quickly.
func drainTime(connections int, timeout time.Duration) time.Duration {
	return min(timeout*8/10, time.Duration(connections)*100*time.Millisecond)
}

// onStop registers how to stop a part that has started. A start that fails half-way stops
// exactly the parts that it has registered.
func (n *Node) onStop(f func()) { n.stops = append(n.stops, f) }

// stop stops all parts at once, in the reverse order of their start: a part uses those
// that started before it. A call that comes too late nevertheless, from a request that
// was cut off, is refused by the part. Later calls of stop do nothing.
func (n *Node) stop() {
	n.stopping.Do(func() {
		for _, f := range slices.Backward(n.stops) {
			f()
		}
	})
}
