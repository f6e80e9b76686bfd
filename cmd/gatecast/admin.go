// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatecast/gatecast/client/platform"
)

// apiRoot is the prefix of all paths of the API on the internal route.
const apiRoot = platform.Root

// adminFlags say how a client command reaches the internal route. Only one goroutine uses
// them.
type adminFlags struct {
	InternalURL    string `name:"internal-url" help:"Internal route of the node." default:"http://127.0.0.1:9244" env:"GATECAST_INTERNAL_URL" placeholder:"URL" group:"Node"`
	InternalCA     string `name:"internal-ca" help:"PEM certificates to trust at that URL. None: the system's." env:"GATECAST_INTERNAL_CA" placeholder:"FILE" group:"Node"`
	AdminTokenFile string `help:"File of the node's admin token." default:"data/admin.token" env:"GATECAST_ADMIN_TOKEN_FILE" placeholder:"FILE" group:"Node"`

	node *platform.Client // nil until the first request
}

// do sends a request and returns the response's body, which the caller closes. contentType is
// that of the body, or without a body that of the response. A status of 300 or more is an error.
// Before the first request, do waits for a node that is starting. It sends no request twice: a
// publish or a registration may have taken effect although no response came.
func (f *adminFlags) do(ctx context.Context, method, path, contentType string, body io.Reader) (io.ReadCloser, error) {
	if err := f.connect(ctx, method != http.MethodGet); err != nil {
		return nil, err
	}
	response, err := f.node.Do(ctx, method, path, contentType, body)
	if err != nil {
		return nil, f.explain(err)
	}
	return response, nil
}

// connect waits for the node, unless it has responded before. With changes, it waits until
// the node is ready.
func (f *adminFlags) connect(ctx context.Context, changes bool) (err error) {
	if f.node == nil {
		f.node, err = f.await(ctx, changes)
	}
	return err
}

// call sends a request, with a JSON body unless body is nil, and prints the response.
func (f *adminFlags) call(ctx context.Context, w world, method, path string, body any) error {
	var in io.Reader
	if body != nil {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false) // a payload is published as the user wrote it
		if err := encoder.Encode(body); err != nil {
			return err
		}
		in = &text
	}
	response, err := f.do(ctx, method, apiRoot+path, "application/json", in)
	if err != nil {
		return err
	}
	defer response.Close()
	return printJSON(w.out, response)
}

// printJSON prints JSON with indentation, and nothing for an empty body.
func printJSON(out io.Writer, in io.Reader) error {
	raw, err := io.ReadAll(in)
	if err != nil || len(raw) == 0 {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return fmt.Errorf("the node's response is not JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err = b.WriteTo(out)
	return err
}

// pathOf returns "/a/b" for a and b, with each segment escaped: an id of the command line can
// have any characters.
func pathOf(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}
