// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"
)

// maxHTTP is how many connections of ordinary HTTP may be open at once; with a
// platform behind the node, as many as gateways may.
const maxHTTP = 512

// An httpSide serves the connections that are no upgrades with net/http.
type httpSide struct {
	server *http.Server
	count  func(result string) // of an attempt to connect
	conns  chan net.Conn
	open   chan struct{} // one token a connection
	closed chan struct{}
	once   sync.Once
}

func newHTTPSide(cfg Config) *httpSide {
	h := &httpSide{
		count:  func(result string) { cfg.Node.ConnectsTotal.WithLabelValues(result).Inc() },
		conns:  make(chan net.Conn),
		open:   make(chan struct{}, maxHTTP),
		closed: make(chan struct{}),
	}
	logger := cfg.Logger
	h.server = &http.Server{
		Handler:           http.HandlerFunc(serveOther),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	if cfg.Platform != nil {
		h.open = make(chan struct{}, max(maxHTTP, cfg.Limits.Total))
		h.server.Handler = besideHealth(cfg.Platform)
		h.server.ReadTimeout, h.server.WriteTimeout = 0, 0 // uploads and answers may take their time
	}
	h.server.Handler = contained(cfg, h.server.Handler)
	go func() {
		if err := h.server.Serve(h); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("HTTP on the gateway listener ended", "error", err)
		}
	}()
	return h
}

// contained counts and tells of panics, which end the connection and no more.
func contained(cfg Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler { // which is how an answer is broken off
				panicked(cfg, r.RemoteAddr, v)
			}
			panic(http.ErrAbortHandler)
		}()
		// Who sends many requests at once stands in line anew for each: a connection
		// that never has to wait for its next would have a processor to itself for
		// ten milliseconds at a time.
		runtime.Gosched()
		if r.ProtoMajor != 1 { // the preface of HTTP/2, which net/http leaves to us
			w.Header().Set("Connection", "close")
			badRequest("want HTTP/1.1").ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// besideHealth passes everything on to the platform but the node's own routes.
func besideHealth(platform http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		health := r.URL.Path == "/health" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
		if health || r.URL.Path == ConnectPath {
			serveOther(w, r)
			return
		}
		platform.ServeHTTP(w, r)
	})
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
func (h *httpSide) take(c net.Conn, client netip.AddrPort) {
	select {
	case h.open <- struct{}{}:
	default:
		h.count("unavailable")
		_, _ = c.Write(unavailable("too many requests at once").response())
		_ = c.Close()
		return
	}
	h.count("http")
	_ = c.SetDeadline(time.Time{}) // net/http sets its own
	select {
	case h.conns <- &httpConn{Conn: c, client: net.TCPAddrFromAddrPort(client), done: func() { <-h.open }}:
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

// An httpConn tells when it is closed, and knows whose it is.
type httpConn struct {
	net.Conn
	client net.Addr
	once   sync.Once
	done   func()
}

// RemoteAddr returns the client's address, which a proxy may have told.
func (c *httpConn) RemoteAddr() net.Addr { return c.client }

func (c *httpConn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
