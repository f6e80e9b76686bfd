// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/valyala/fasthttp"

// securityHeaders are set on every answer that has not set them itself. A
// browser that displays an answer may load, run and embed nothing.
var securityHeaders = [][2]string{
	{fasthttp.HeaderXContentTypeOptions, "nosniff"},
	{fasthttp.HeaderXFrameOptions, "DENY"},
	{fasthttp.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'"},
	{fasthttp.HeaderCacheControl, "no-store"}, // answers hold tokens, payloads and names of gateways
}

// addSecurityHeaders adds the security headers that a handler has not set: the
// ops page has its own content security policy.
func addSecurityHeaders(h *fasthttp.ResponseHeader) {
	for _, p := range securityHeaders {
		if len(h.Peek(p[0])) == 0 {
			h.Set(p[0], p[1])
		}
	}
}

// withSecurityHeaders wraps a handler so that all its answers have the security
// headers.
func withSecurityHeaders(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		addSecurityHeaders(&ctx.Response.Header)
	}
}
