// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/valyala/fasthttp"

// protective are headers of every answer: what a browser that is led here may do
// with it is nothing.
var securityHeaders = [][2]string{
	{fasthttp.HeaderXContentTypeOptions, "nosniff"},
	{fasthttp.HeaderXFrameOptions, "DENY"},
	{fasthttp.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'"},
	{fasthttp.HeaderCacheControl, "no-store"}, // answers hold tokens, payloads and the names of gateways
}

// protect adds the protective headers that an answer does not have: a handler
// may have set its own, as a page does with its policy.
func addSecurityHeaders(h *fasthttp.ResponseHeader) {
	for _, p := range securityHeaders {
		if len(h.Peek(p[0])) == 0 {
			h.Set(p[0], p[1])
		}
	}
}

// protected protects the answers of a handler.
func withSecurityHeaders(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		addSecurityHeaders(&ctx.Response.Header)
	}
}
