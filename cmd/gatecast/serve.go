// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/internal/node"
	"github.com/gatecast/gatecast/internal/settings"

	"github.com/alecthomas/kong"
)

type serveCmd struct {
	Config kong.ConfigFlag `help:"YAML file of these settings, by flag name." placeholder:"FILE" env:"GATECAST_CONFIG"`
	settings.Settings
}

// Run serves until a signal, and drains.
func (c *serveCmd) Run(ctx context.Context, w world) error {
	cfg := c.nodeConfig() // the parser has validated the settings
	cfg.Logger = slog.New(c.logHandler(w))
	tuneCollector(cfg.Logger)
	cfg.Shards = spareLoops(cfg.Shards)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before the start, which it would end
	defer signal.Stop(hangups)
	n, err := startNode(ctx, cfg)
	if n == nil || err != nil {
		return err
	}
	// net/http's transports write what servers do wrong to package log's standard
	// logger, and so to standard error, which may be a pipe that nobody reads.
	slog.SetDefault(n.Logger())
	for {
		select {
		case <-hangups:
			n.Reload()
		case <-ctx.Done():
			return n.Drain(context.WithoutCancel(ctx))
		case err := <-n.Failed():
			_ = n.Drain(context.WithoutCancel(ctx)) // the first error is the one to report
			return err
		}
	}
}

// startNode starts a node. It returns nil for both when a signal ends the start, which
// is no failure: nothing was served yet. What is left of the start has the shutdown
// timeout to end cleanly.
func startNode(ctx context.Context, cfg node.Config) (*node.Node, error) {
	type started struct {
		node *node.Node
		err  error
	}
	done := make(chan started, 1)
	go func() {
		n, err := node.Start(ctx, cfg)
		done <- started{n, err}
	}()
	select {
	case s := <-done:
		return afterStart(ctx, cfg.Logger, s.node, s.err)
	case <-ctx.Done():
	}
	cfg.Logger.Info("stopping during the start", "timeout", cfg.ShutdownTimeout.String())
	select {
	case s := <-done:
		return afterStart(ctx, cfg.Logger, s.node, s.err)
	case <-time.After(cfg.ShutdownTimeout):
		cfg.Logger.Warn("the start did not end in time and is cut off; a log is recovered by the next start")
		return nil, nil
	}
}

// afterStart returns what a start has come to. The error of one that a signal ended
// is only logged.
func afterStart(ctx context.Context, logger *slog.Logger, n *node.Node, err error) (*node.Node, error) {
	if err == nil || ctx.Err() == nil {
		return n, err
	}
	logger.Info("stopped during the start", "error", err)
	return nil, nil
}

// nodeConfig returns the configuration of the node that the settings describe.
func (c *serveCmd) nodeConfig() node.Config {
	return node.Config{Settings: c.Settings, Version: buildVersion()}
}

func (c *serveCmd) logHandler(w world) slog.Handler {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	_, terminal := asTerminal(w.err)
	if c.LogFormat == "text" || c.LogFormat == "" && terminal {
		return slog.NewTextHandler(w.err, options)
	}
	return slog.NewJSONHandler(w.err, options)
}
