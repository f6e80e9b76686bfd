// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"time"

	"gatecast/internal/certs"
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
			cfg.Logger.Warn("the platform is out of reach", "method", r.Method, "path", r.URL.Path, "error", err)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, `{"error":"bad_gateway","message":"the platform is out of reach"}`)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paced := &pacedWriter{w, http.NewResponseController(w)}
		r.Body = &pacedBody{r.Body, paced.deadlines}
		proxy.ServeHTTP(paced, r)
		paced.hurry() // what is left to write is net/http's, which begins the next request without a deadline
	}), nil
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
	if err != nil {
		return false
	}
	for _, p := range proxies {
		if p.Contains(a.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// A pacedBody is a request's body that may take its time, as long as something
// arrives.
type pacedBody struct {
	io.ReadCloser
	deadlines *http.ResponseController
}

func (b *pacedBody) Read(p []byte) (int, error) {
	// Where there are no deadlines there is no pace.
	_ = b.deadlines.SetReadDeadline(time.Now().Add(platformIdle))
	n, err := b.ReadCloser.Read(p)
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
