// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	_ "embed" // the descriptions

	"github.com/valyala/fasthttp"
)

// The descriptions for machines: of this listener, and of what gateways see. The
// tests hold what the program does against them.
var (
	//go:embed openapi.yaml
	openapiYAML []byte
	//go:embed asyncapi.yaml
	asyncapiYAML []byte
)

// describe is a handler that answers with a description.
func describe(text []byte) handler {
	return func(ctx *fasthttp.RequestCtx) error {
		ctx.SetContentType("application/yaml")
		ctx.SetBody(text)
		return nil
	}
}
