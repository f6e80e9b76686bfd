// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"

	"github.com/gatecast/gatecast/internal/netaddr"
)

// Config says where the platform is and how its clients are seen.
type Config struct {
	URL            *url.URL          // the platform's base URL: http or https, perhaps with a path
	Transport      http.RoundTripper // see [NewTransport]
	TrustedProxies []netip.Prefix    // peers whose X-Forwarded-* headers are kept
	TLS            bool              // clients connect with TLS
	Logger         *slog.Logger
}

// New returns the proxy. The handler can be used by any goroutine.
func New(cfg Config) http.Handler {
	p := &proxy{Config: cfg}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:       p.rewrite,
		Transport:     cfg.Transport,
		FlushInterval: -1, // flush after every write: responses are streamed
		ErrorLog:      slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		ErrorHandler:  p.fail,
	}
	return p
}

// A proxy is constant after New.
type proxy struct {
	Config
	reverse *httputil.ReverseProxy
}

// ServeHTTP implements [http.Handler].
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !representable(p.URL, r) {
		writeError(w, http.StatusBadRequest, "bad_request", "a request target that begins with // has a character that is to be percent-encoded")
		return
	}
	paced := &pacedWriter{w, http.NewResponseController(w)}
	body := &pacedBody{ReadCloser: r.Body, deadlines: paced.deadlines}
	r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, body))
	r.Body = body
	p.reverse.ServeHTTP(paced, r)
	// net/http still has to write what it buffered. It clears the deadline when it reads
	// the next request.
	paced.extend()
}

// rewrite makes the request to the platform from the client's.
func (p *proxy) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(p.URL)
	setRawTarget(r.Out.URL, p.URL, r.In)
	// No other protocol, as h2c: the front could not vet the requests on such a connection.
	// It refuses WebSocket upgrades itself.
	r.Out.Header.Del("Upgrade")
	r.Out.Header.Del("Connection")
	p.setForwarded(r)
}

// setForwarded sets X-Forwarded-For, -Host and -Proto. What the client sent of them is
// kept only if it is a trusted proxy.
func (p *proxy) setForwarded(r *httputil.ProxyRequest) {
	trusted := p.trusts(r.In.RemoteAddr)
	if trusted {
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	}
	r.SetXForwarded()
	// SetXForwarded sees no TLS: the front has terminated it before net/http.
	if proto := r.In.Header.Get("X-Forwarded-Proto"); trusted && proto != "" {
		r.Out.Header.Set("X-Forwarded-Proto", proto)
	} else if p.TLS {
		r.Out.Header.Set("X-Forwarded-Proto", "https")
	}
}

// trusts reports whether an address, with its port, belongs to a trusted proxy.
func (p *proxy) trusts(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && netaddr.Contains(p.TrustedProxies, a.Addr())
}

// fail answers a request that could not be passed on: 400 if the client's body failed,
// else 502.
func (p *proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	if body, ok := r.Context().Value(bodyKey{}).(*pacedBody); ok && body.failed.Load() {
		w.Header().Set("Connection", "close") // the rest of the body must not be read as the next request
		writeError(w, http.StatusBadRequest, "bad_request", "the request's body cannot be read to its end")
		return
	}
	p.Logger.Warn("cannot reach the platform", "method", r.Method, "path", r.URL.Path, "error", err)
	writeError(w, http.StatusBadGateway, "bad_gateway", "the platform is out of reach")
}

// writeError writes an error response in the form that all of gatecast's have.
func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":%q,"message":%q}`, code, message)
}
