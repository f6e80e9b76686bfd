// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/certs"
	"github.com/gatecast/gatecast/internal/netaddr"
)

const (
	// platformIdle is how long a client may send nothing of a body that it sends,
	// and take nothing of an answer.
	platformIdle = time.Minute
	// platformConns is how many connections to the platform are kept for the next
	// request.
	platformConns = 128
)

// platformHandler returns what passes gateways' requests on to the platform: as
// they are, both ways, streaming. Its status codes are its own.
func platformHandler(cfg Config) (http.Handler, error) {
	target, err := url.Parse(cfg.PlatformURL)
	if err != nil {
		return nil, &ConfigError{"platform-url", err.Error()}
	}
	transport, err := platformTransport(cfg)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			setRawTarget(r.Out.URL, target, r.In)
			if !strings.EqualFold(r.Out.Header.Get("Upgrade"), "websocket") { // h2c, whose requests would come unseen
				r.Out.Header.Del("Upgrade")
				r.Out.Header.Del("Connection")
			}
			behind := trusted(cfg.TrustedProxies, r.In.RemoteAddr)
			if behind {
				r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			}
			r.SetXForwarded()
			// net/http does not know that it is behind the front's TLS.
			if proto := r.In.Header.Get("X-Forwarded-Proto"); behind && proto != "" {
				r.Out.Header.Set("X-Forwarded-Proto", proto)
			} else if !cfg.Plaintext {
				r.Out.Header.Set("X-Forwarded-Proto", "https")
			}
		},
		Transport:     transport,
		FlushInterval: -1, // at once
		ErrorLog:      slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if body, ok := r.Context().Value(bodyKey{}).(*pacedBody); ok && body.failed.Load() {
				w.Header().Set("Connection", "close") // what is left of it is not the next request
				answerError(w, http.StatusBadRequest, "bad_request", "the request's body cannot be read to its end")
				return
			}
			cfg.Logger.Warn("the platform is out of reach", "method", r.Method, "path", r.URL.Path, "error", err)
			answerError(w, http.StatusBadGateway, "bad_gateway", "the platform is out of reach")
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !passable(target, r) {
			answerError(w, http.StatusBadRequest, "bad_request", "a request target that begins with // has a character that is to be percent-encoded")
			return
		}
		paced := &pacedWriter{w, http.NewResponseController(w)}
		body := &pacedBody{ReadCloser: r.Body, deadlines: paced.deadlines}
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, body))
		r.Body = body
		proxy.ServeHTTP(paced, r)
		paced.hurry() // what is left to write is net/http's, which begins the next request without a deadline
	}), nil
}

// answerError answers in the form of every error.
func answerError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":%q,"message":%q}`, code, message)
}

// rawTarget returns a request's path and query as they were sent. What names the
// server in an absolute target is not the platform's to see (RFC 9112, 3.2.2).
func rawTarget(r *http.Request) string {
	target := r.RequestURI
	if strings.HasPrefix(target, "/") || target == "*" {
		return target
	}
	_, target, _ = strings.Cut(target, "://")
	at := strings.IndexAny(target, "/?")
	switch {
	case at < 0 && r.Method == http.MethodOptions: // RFC 9112, 3.2.4
		return "*"
	case at < 0:
		return "/"
	case target[at] == '?':
		return "/" + target[at:]
	}
	return target[at:]
}

// setRawTarget has a request to the platform ask for the path and query that the
// gateway's asked for, byte by byte: net/url would write some of them in another
// way, and net/http/httputil leaves out parts of a query that it cannot parse.
func setRawTarget(out, platform *url.URL, in *http.Request) {
	path, query, asked := strings.Cut(rawTarget(in), "?")
	out.RawQuery, out.ForceQuery = query, asked
	out.Opaque = path
	if path == "*" {
		return
	}
	out.Opaque = strings.TrimSuffix(platform.EscapedPath(), "/") + path
	if strings.HasPrefix(out.Opaque, "//") { // which Opaque cannot say; see passable
		out.Path, _ = url.PathUnescape(out.Opaque)
		out.RawPath, out.Opaque = out.Opaque, ""
	}
}

// passable reports whether a request's target can be given to net/http's client
// unchanged.
func passable(platform *url.URL, in *http.Request) bool {
	var out url.URL
	setRawTarget(&out, platform, in)
	return out.Opaque != "" || out.EscapedPath() == out.RawPath
}

// platformTransport returns what carries requests to the platform.
func platformTransport(cfg Config) (*http.Transport, error) {
	roots, err := platformRoots(cfg.PlatformCA)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = platformConns, platformConns
	transport.DisableCompression = true // what was asked for is asked for
	return transport, nil
}

// platformRoots returns the certificates that the platform is trusted by, nil for
// the system's.
func platformRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	roots, err := certs.LoadPool(file)
	if err != nil {
		return nil, &ConfigError{"platform-ca", err.Error()}
	}
	return roots, nil
}

// trusted reports whether an address, with its port, is of one of our proxies.
func trusted(proxies []netip.Prefix, address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && netaddr.Contains(proxies, a.Addr())
}

// A pacedBody is a request's body that may take its time, as long as something
// arrives.
type pacedBody struct {
	io.ReadCloser
	deadlines *http.ResponseController
	failed    atomic.Bool // the client's part of it broke off, or was malformed
}

// bodyKey is the key of a request's body among the values of its context.
type bodyKey struct{}

func (b *pacedBody) Read(p []byte) (int, error) {
	// Where there are no deadlines there is no pace.
	_ = b.deadlines.SetReadDeadline(time.Now().Add(platformIdle))
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failed.Store(true)
	}
	if err != nil { // what follows, the answer, has none
		_ = b.deadlines.SetReadDeadline(time.Time{})
	}
	return n, err
}

// A pacedWriter is an answer that may take its time, as long as the client takes
// something of it.
type pacedWriter struct {
	http.ResponseWriter
	deadlines *http.ResponseController
}

// Unwrap is for [http.ResponseController].
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) Write(p []byte) (int, error) {
	w.hurry()
	return w.ResponseWriter.Write(p)
}

// FlushError is called behind each Write, and once ahead of all. What the platform
// leaves the client waiting for has no deadline.
func (w *pacedWriter) FlushError() error {
	w.hurry()
	err := w.deadlines.Flush()
	_ = w.deadlines.SetWriteDeadline(time.Time{})
	return err
}

func (w *pacedWriter) hurry() { _ = w.deadlines.SetWriteDeadline(time.Now().Add(platformIdle)) }
