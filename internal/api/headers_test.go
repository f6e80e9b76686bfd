// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func checkProtected(t *testing.T, got reply) {
	t.Helper()
	checkProtection(t, got, "default-src 'none'; frame-ancestors 'none'", "no-store")
}

func checkProtection(t *testing.T, got reply, policy, cache string) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": cache,
		"Content-Security-Policy": policy,
	} {
		if v := got.header.Values(name); !slices.Equal(v, []string{want}) {
			t.Errorf("%d: %s: %q, want %q", got.status, name, v, want)
		}
	}
}

// The files of the ops page are public and have their own policy.
func checkPage(t *testing.T, got reply) {
	t.Helper()
	checkProtection(t, got, opsPolicy, "no-cache")
}

// Every route that the router has, with a token and without.
func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	r := start(t)
	names := strings.NewReplacer("{id}", "10-1", "{tokenId}", "t", "{gatewayId}", "g", "{connectionId}", "c")
	routes := r.router().List()
	if len(routes) < 3 {
		t.Fatalf("the router has %v", slices.Collect(maps.Keys(routes)))
	}
	routes["PUT"] = []string{"/health", "/nowhere"} // a wrong method, and no route
	for method, paths := range routes {
		for _, path := range paths {
			t.Run(method+path, func(t *testing.T) {
				check := checkProtected
				if _, ok := opsFiles[path]; ok {
					check = checkPage
				}
				check(t, r.do(method, names.Replace(path), "{}"))
				anonymous := r.request(method, names.Replace(path), nil)
				anonymous.Header.Del("Authorization")
				check(t, r.send(anonymous))
			})
		}
	}
}

func TestInvalidRequestsHaveSecurityHeaders(t *testing.T) {
	checkProtected(t, start(t).raw("nonsense\r\n\r\n"))
}

func TestPanicHasSecurityHeaders(t *testing.T) {
	r := start(t, func(c *Config, _ *limits) { c.Registry = panicking{c.Registry} })
	got := r.do("POST", prefix+"/events", `{"gatewayId":"g1","type":"a.b","payload":1}`)
	if got.status != 500 {
		t.Fatalf("status %d", got.status)
	}
	checkProtected(t, got)
}

// The ops page has its own policy.
func TestHandlerKeepsItsSecurityHeaders(t *testing.T) {
	var ctx fasthttp.RequestCtx
	withSecurityHeaders(func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set(fasthttp.HeaderContentSecurityPolicy, "default-src 'self'")
	})(&ctx)
	if got := string(ctx.Response.Header.Peek(fasthttp.HeaderContentSecurityPolicy)); got != "default-src 'self'" {
		t.Errorf("the policy is %q", got)
	}
	if got := string(ctx.Response.Header.Peek(fasthttp.HeaderXFrameOptions)); got != "DENY" {
		t.Errorf("X-Frame-Options is %q", got)
	}
}
