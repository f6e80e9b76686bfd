// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxHTTP is how many connections of ordinary HTTP may be open at once.
const maxHTTP = 512

// An httpSide serves the connections that are no upgrades with net/http.
type httpSide struct {
	server *http.Server
	conns  chan net.Conn
	open   chan struct{} // one token a connection
	closed chan struct{}
	once   sync.Once
}

func newHTTPSide(logger *slog.Logger) *httpSide {
	h := &httpSide{
		conns:  make(chan net.Conn),
		open:   make(chan struct{}, maxHTTP),
		closed: make(chan struct{}),
	}
	h.server = &http.Server{
		Handler:           http.HandlerFunc(serveOther),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := h.server.Serve(h); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("HTTP on the gateway listener ended", "error", err)
		}
	}()
	return h
}

// serveOther answers what is not an upgrade.
func serveOther(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/health" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	case r.URL.Path == "/health":
		no := methodNotAllowed()
		no.message = "the health route takes GET"
		no.ServeHTTP(w, r)
	case r.URL.Path == ConnectPath:
		// An upgrade behind another request of the same connection, which
		// net/http holds by now.
		w.Header().Set("Connection", "close")
		unavailable("open a new connection for the upgrade").ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/internal/v1/"):
		// Not 404, after which real gateways exit.
		unavailable("no platform is configured behind this node").ServeHTTP(w, r)
	default:
		(&refusal{status: http.StatusNotFound, code: "not_found", message: "no such path"}).ServeHTTP(w, r)
	}
}

// take serves a connection.
func (h *httpSide) take(c net.Conn) {
	select {
	case h.open <- struct{}{}:
	default:
		_, _ = c.Write(unavailable("too many requests at once").response())
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{}) // net/http sets its own
	select {
	case h.conns <- &httpConn{Conn: c, done: func() { <-h.open }}:
	case <-h.closed:
		<-h.open
		_ = c.Close()
	}
}

// shutdown answers the requests under way, and cuts off what ctx leaves no time
// for.
func (h *httpSide) shutdown(ctx context.Context) error {
	err := h.server.Shutdown(ctx)
	if err != nil {
		_ = h.server.Close()
	}
	return err
}

// Accept implements [net.Listener] for the server.
func (h *httpSide) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (h *httpSide) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements [net.Listener]. The server only logs it.
func (h *httpSide) Addr() net.Addr { return &net.TCPAddr{} }

// An httpConn tells when it is closed.
type httpConn struct {
	net.Conn
	once sync.Once
	done func()
}

func (c *httpConn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
