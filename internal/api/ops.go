// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	_ "embed" // the page

	"github.com/valyala/fasthttp"
)

var (
	//go:embed ops/index.html
	opsHTML []byte
	//go:embed ops/ops.css
	opsCSS []byte
	//go:embed ops/ops.js
	opsJS []byte
)

// opsFiles are the files of the ops page, which calls the other routes from the
// browser. They contain no secrets and are public; the page asks its user for
// an admin token.
var opsFiles = map[string]opsFile{
	"/":        {"text/html; charset=utf-8", opsHTML},
	"/ops.css": {"text/css; charset=utf-8", opsCSS},
	"/ops.js":  {"text/javascript; charset=utf-8", opsJS},
}

// An opsFile is one static file.
type opsFile struct {
	contentType string
	body        []byte
}

// opsPolicy allows the page its own script, style and requests and nothing
// else, because users type the admin token into it.
const opsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

func (f opsFile) answer(ctx *fasthttp.RequestCtx) error {
	h := &ctx.Response.Header
	h.SetContentType(f.contentType)
	h.Set(fasthttp.HeaderContentSecurityPolicy, opsPolicy)
	h.Set(fasthttp.HeaderReferrerPolicy, "no-referrer")
	h.Set(fasthttp.HeaderCacheControl, "no-cache") // after an upgrade the three files must match
	ctx.SetBody(f.body)
	return nil
}
