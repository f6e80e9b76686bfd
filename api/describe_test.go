// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// description is the OpenAPI document, and what finds a request's operation in it.
var description = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromData(openapiYAML)
	if err == nil {
		err = doc.Validate(context.Background())
	}
	if err != nil {
		panic(err)
	}
	doc.Servers = nil // the tests' servers are elsewhere
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	plain := func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(body)
		return string(b), err
	}
	for _, kind := range []string{"application/yaml", typeNDJSON, "text/plain", "text/html", "text/css", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(kind, plain)
	}
	return doc, router
})

// described fails a test that sees an answer which is not as the description says.
// Routes that there are not have none.
func described(t testing.TB, req *http.Request, resp *http.Response, body []byte) {
	_, router := description()
	method := req.Method
	if method == http.MethodHead {
		return // it is a GET without a body
	}
	route, params, err := router.FindRoute(&http.Request{Method: method, URL: req.URL, Host: req.Host})
	if err != nil {
		if resp.StatusCode < 400 {
			t.Errorf("%s %s is not described: %v", method, req.URL, err)
		}
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 resp.StatusCode, Header: resp.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		t.Errorf("%s %s is answered with %d %s, which is not as described: %v", method, req.URL, resp.StatusCode, body, err)
	}
}

// Every route is described, and every operation described is a route.
func TestDescribed(t *testing.T) {
	r := start(t)
	doc, _ := description()
	var want []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			want = append(want, method+" "+path)
		}
	}
	var got []string
	for method, paths := range r.Server.router().List() {
		for _, path := range paths {
			if method != http.MethodHead {
				got = append(got, method+" "+path)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("routes:\n%s\ndescribed:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDescriptionsServed(t *testing.T) {
	r := start(t)
	for path, text := range map[string][]byte{"/openapi.yaml": openapiYAML, "/asyncapi.yaml": asyncapiYAML} {
		req := r.request("GET", path, http.NoBody)
		req.Header.Del("Authorization")
		got := r.send(req)
		if got.status != 200 || got.header.Get("Content-Type") != "application/yaml" || !bytes.Equal([]byte(got.body+"\n"), text) {
			t.Errorf("%s: %d %q, %d bytes", path, got.status, got.header.Get("Content-Type"), len(got.body))
		}
	}
}
