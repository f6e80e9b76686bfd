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

	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/poller"
)

// maxHTTPConns limits the connections that net/http serves. With a platform, the limit
// is at least Limits.Total.
const maxHTTPConns = 512

// keepAliveTimeout limits the time between two requests of a connection. It is longer
// than the 60 s that balancers usually allow: when this side closes first, a balancer can
// send a request into a closing connection.
const keepAliveTimeout = 90 * time.Second

// bodyTimeout limits a request and its response when there is no platform.
const bodyTimeout = 30 * time.Second

// An httpServer serves connections whose first request is no upgrade, with net/http. It
// is the listener of its http.Server. Any goroutine can call its methods.
type httpServer struct {
	// Constant after newHTTPServer.
	server  *http.Server
	rules   http1.Rules
	upgrade func(c *poller.Conn, client netip.AddrPort, head *http1.Head, after []byte) // Front.serveUpgrade
	count   func(result string)                                                         // counts an attempt to connect

	conns  chan net.Conn
	open   chan struct{} // a semaphore: one token per connection
	closed chan struct{}
	once   sync.Once // of Close
}

// newHTTPServer returns a running server.
func newHTTPServer(f *Front) *httpServer {
	cfg, logger := f.cfg, f.cfg.Logger
	h := &httpServer{
		rules: http1.Rules{
			HeadTimeout: requestTimeout,
			Refuse:      refuseHead,
			Hijacks:     f.isOurs,
		},
		upgrade: f.serveUpgrade,
		count:   func(result string) { cfg.Node.ConnectsTotal.WithLabelValues(result).Inc() },
		conns:   make(chan net.Conn),
		open:    make(chan struct{}, maxHTTPConns),
		closed:  make(chan struct{}),
	}
	h.server = &http.Server{
		Handler:           http.HandlerFunc(serveLocal),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      bodyTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    http1.MaxHead,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				c.(*httpConn).Idle()
			}
		},
		ConnContext:                  withConn,
		DisableGeneralOptionsHandler: true,
	}
	if cfg.Platform != nil {
		h.open = make(chan struct{}, max(maxHTTPConns, cfg.Limits.Total))
		h.server.Handler = withPlatform(cfg, cfg.Platform)
		h.server.ReadTimeout, h.server.WriteTimeout = 0, 0 // uploads and downloads can take long
	}
	h.server.Handler = recoverPanics(cfg, h.server.Handler)
	go func() {
		if err := h.server.Serve(h); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the HTTP server of the gateway listener ended", "error", err)
		}
	}()
	return h
}

// refuseHead returns the response to a request that net/http does not get. A request that
// is too slow gets none.
func refuseHead(bad *http1.Error) []byte {
	if bad == http1.ErrTimeout {
		return nil
	}
	return refusalOf(bad).response()
}

// recoverPanics counts and logs panics. A panic ends only its connection.
func recoverPanics(cfg Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler { // it aborts a response on purpose
				reportPanic(cfg, r.RemoteAddr, v)
			}
			panic(http.ErrAbortHandler)
		}()
		// Without this, a connection with pipelined requests never blocks, and keeps a
		// processor until Go preempts it after 10 ms.
		runtime.Gosched()
		next.ServeHTTP(w, r)
	})
}

// withPlatform serves /health itself, and all other requests with the platform.
func withPlatform(cfg Config, platform http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			serveLocal(w, r)
			return
		}
		end := trackRequest(cfg, r)
		defer end()
		platform.ServeHTTP(w, r)
	})
}

// serveLocal serves requests without a platform.
func serveLocal(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/health" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	case r.URL.Path == "/health":
		refused := methodNotAllowed()
		refused.message = "the health route takes GET"
		refused.ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/internal/v1/"):
		// Not 404: real gateways exit for good on it.
		unavailable("no platform is configured; see --platform-url").ServeHTTP(w, r)
	default:
		(&refusal{status: http.StatusNotFound, code: "not_found", message: "no such path"}).ServeHTTP(w, r)
	}
}

// serve hands a connection to net/http, or refuses it when too many are open. read is what
// was already read from it.
func (h *httpServer) serve(c *poller.Conn, read []byte, client netip.AddrPort) {
	select {
	case h.open <- struct{}{}:
	default:
		h.count("unavailable")
		_, _ = c.Write(unavailable("too many connections with HTTP requests").response())
		_ = c.Close()
		return
	}
	h.count("http")
	hc := newHTTPConn(h, c, read, client)
	_ = hc.SetDeadline(time.Time{}) // net/http sets its own
	select {
	case h.conns <- hc:
	case <-h.closed:
		_ = hc.Close()
	}
}

// shutdown waits for requests in progress until ctx ends, then closes their connections.
func (h *httpServer) shutdown(ctx context.Context) error {
	err := h.server.Shutdown(ctx)
	if err != nil {
		_ = h.server.Close()
	}
	return err
}

// Accept implements [net.Listener] for the server.
func (h *httpServer) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (h *httpServer) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements [net.Listener]. The server uses it only for logging.
func (h *httpServer) Addr() net.Addr { return &net.TCPAddr{} }
