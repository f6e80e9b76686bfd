// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"net/http"
	"net/url"
	"strings"
)

// rawTarget returns a request's path and query as the client sent them. The scheme and
// authority of an absolute target are dropped (RFC 9112, 3.2.2).
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

// setRawTarget gives the request to the platform the path and query of the client's
// request, byte for byte, below the path of the platform's URL. Without this, net/url
// would encode some bytes differently, and net/http/httputil would drop the parts of a
// query that it cannot parse.
func setRawTarget(out, platform *url.URL, in *http.Request) {
	path, query, hasQuery := strings.Cut(rawTarget(in), "?")
	out.RawQuery, out.ForceQuery = query, hasQuery
	out.Opaque = path
	if path == "*" {
		return
	}
	out.Opaque = strings.TrimSuffix(platform.EscapedPath(), "/") + path
	if strings.HasPrefix(out.Opaque, "//") { // net/http would take it for an authority; see representable
		out.Path, _ = url.PathUnescape(out.Opaque)
		out.RawPath, out.Opaque = out.Opaque, ""
	}
}

// representable reports whether net/http's client can send a request's target
// unchanged.
func representable(platform *url.URL, in *http.Request) bool {
	var out url.URL
	setRawTarget(&out, platform, in)
	return out.Opaque != "" || out.EscapedPath() == out.RawPath
}
