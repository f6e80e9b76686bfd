// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/internal/node"
	"github.com/gatecast/gatecast/internal/settings"
)

// Run serves until a signal and then drains. SIGHUP reloads files.
func (c *serveCmd) Run(ctx context.Context, w world) error {
	// Kong has called Validate, so an error from here on is not wrong usage.
	cfg := node.Config{Settings: c.Settings, Version: buildVersion(), Logger: slog.New(c.logHandler(w))}
	tuneCollector(cfg.Logger)
	cfg.Shards = spareLoops(cfg.Shards)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before the start: a SIGHUP during it would end the process
	defer signal.Stop(hangups)
	n, err := startNode(ctx, cfg)
	if n == nil || err != nil {
		return err
	}
	// net/http logs errors of servers through package log's standard logger, which would
	// block on a standard error that nobody reads. The node's logger drops lines instead.
	slog.SetDefault(n.Logger())
	if _, terminal := asTerminal(w.err); terminal && c.logText(w) {
		printWelcome(w.err, &c.Settings, n.GatewayAddr(), n.InternalAddr())
	}
	for {
		select {
		case <-hangups:
			n.Reload()
		case <-ctx.Done():
			return n.Drain(context.WithoutCancel(ctx))
		case err := <-n.Failed():
			_ = n.Drain(context.WithoutCancel(ctx)) // the first error is the cause
			return err
		}
	}
}

// startNode starts a node. It returns nil for both when a signal ends the start, which is
// not a failure. The start then has the shutdown timeout to end cleanly.
func startNode(ctx context.Context, cfg node.Config) (*node.Node, error) {
	type started struct {
		node *node.Node
		err  error
	}
	done := make(chan started, 1) // buffered: nobody receives after the timeout
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
		cfg.Logger.Warn("the start did not end within the shutdown timeout; exiting, the next start recovers the log", "timeout", cfg.ShutdownTimeout.String())
		return nil, nil
	}
}

// afterStart returns the result of a start. If a signal ended it, its error is only logged.
func afterStart(ctx context.Context, logger *slog.Logger, n *node.Node, err error) (*node.Node, error) {
	if err == nil || ctx.Err() == nil {
		return n, err
	}
	logger.Info("stopped during the start", "error", err)
	return nil, nil
}

// printWelcome prints four lines for a person at a terminal: where the node listens, where
// the admin token is, and two commands to try.
func printWelcome(out io.Writer, s *settings.Settings, gateways, internal net.Addr) {
	tokenFile := cmp.Or(s.AdminTokenFile, filepath.Join(s.DataDir, "admin.token"))
	internalURL := urlOf("http", internal)
	if s.InternalTLSCert != "" {
		internalURL = urlOf("https", internal)
	}
	gatewayURL, insecure := urlOf("wss", gateways), ""
	switch {
	case s.Plaintext:
		gatewayURL = urlOf("ws", gateways)
	case s.TLSCert == "":
		insecure = " --insecure"
	}
	var flags string // that client commands need because a setting is not the default
	if internalURL != "http://127.0.0.1:9244" {
		flags += " --internal-url " + internalURL
	}
	if s.InternalTLSCert != "" {
		flags += " --internal-ca " + s.InternalTLSCert
	}
	if tokenFile != filepath.Join("data", "admin.token") {
		flags += " --admin-token-file " + tokenFile
	}
	fmt.Fprintf(out, "gateways: %s   platform and ops page: %s\n"+
		"admin token: %s\n"+
		"next: gatecast gateway add edge%s\n"+
		"then: gatecast tail --url %s%s --token TOKEN\n",
		gatewayURL, internalURL, tokenFile, flags, gatewayURL, insecure)
}

// urlOf returns the URL by which programs on this machine reach a listener.
func urlOf(scheme string, a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
