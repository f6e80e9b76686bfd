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

// maxHTTP is how many connections of ordinary HTTP may be open at once; with a
// platform behind the node, as many as gateways may.
const maxHTTP = 512

// An httpSide serves the connections that are no upgrades with net/http.
type httpSide struct {
	server *http.Server
	rules  http1.Rules
	again  func(c *poller.Conn, client netip.AddrPort, head *http1.Head, after []byte)
	count  func(result string) // of an attempt to connect
	conns  chan net.Conn
	open   chan struct{} // one token a connection
	closed chan struct{}
	once   sync.Once
}

// keepAliveTimeout is how long a connection may be idle between two requests. It is
// more than the 60 s that balancers commonly keep theirs: who closes first must be
// the balancer, or it sends a request into a connection that is closing.
const keepAliveTimeout = 90 * time.Second

func newHTTPSide(f *Front) *httpSide {
	cfg := f.cfg
	h := &httpSide{
		rules: http1.Rules{
			HeadTimeout: requestTimeout,
			Refuse:      refuseHead,
			Hijacks:     isConnect,
		},
		again:  f.again,
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
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    http1.MaxHead,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateIdle:
				c.(*httpConn).Idle()
			case http.StateHijacked: // the platform has changed the protocol
				c.(*httpConn).Raw()
			}
		},
		ConnContext:                  withConn,
		DisableGeneralOptionsHandler: true,
	}
	if cfg.Platform != nil {
		h.open = make(chan struct{}, max(maxHTTP, cfg.Limits.Total))
		h.server.Handler = besideHealth(cfg, cfg.Platform)
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

// refuseHead answers a request that net/http is not given. Who is too slow is not
// answered.
func refuseHead(bad *http1.Error) []byte {
	if bad == http1.ErrTimeout {
		return nil
	}
	return refusalOf(bad).response()
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
		next.ServeHTTP(w, r)
	})
}

// besideHealth passes everything on to the platform but the node's own routes.
func besideHealth(cfg Config, platform http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			serveOther(w, r)
			return
		}
		end := busy(cfg, r)
		defer end()
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
	case strings.HasPrefix(r.URL.Path, "/api/internal/v1/"):
		// Not 404, after which real gateways exit.
		unavailable("no platform is configured behind this node").ServeHTTP(w, r)
	default:
		(&refusal{status: http.StatusNotFound, code: "not_found", message: "no such path"}).ServeHTTP(w, r)
	}
}

// take serves a connection, of which read was read.
func (h *httpSide) take(c *poller.Conn, read []byte, client netip.AddrPort) {
	select {
	case h.open <- struct{}{}:
	default:
		h.count("unavailable")
		_, _ = c.Write(unavailable("too many requests at once").response())
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
