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
)

// apiRoot is what the paths of the internal route begin with.
const apiRoot = "/api/internal/v1"

// adminFlags say how a client command reaches the internal route. They are used by
// one goroutine.
type adminFlags struct {
	InternalURL    string `name:"internal-url" help:"The node's internal route. Default: ${default}." default:"http://127.0.0.1:9244" env:"GATECAST_INTERNAL_URL" placeholder:"URL"`
	InternalCA     string `name:"internal-ca" help:"PEM file of the certificates to trust there. Default: the system's." env:"GATECAST_INTERNAL_CA" placeholder:"FILE"`
	AdminTokenFile string `help:"File of the admin token. Default: ${default}." default:"data/admin.token" env:"GATECAST_ADMIN_TOKEN_FILE" placeholder:"FILE"`

	route *internalRoute // nil until the first request
}

// do sends a request and returns the answer's body, which the caller closes. An
// answer that is an error becomes one. Before the first request it waits for a node
// that is starting; no request is sent twice.
func (f *adminFlags) do(ctx context.Context, method, path, contentType string, body io.Reader) (io.ReadCloser, error) {
	if f.route == nil {
		client, err := f.client()
		if err != nil {
			return nil, err
		}
		if f.route, err = f.arrive(ctx, client, method != http.MethodGet); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, f.route.url+path, body)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--internal-url: %w", err)}
	}
	req.Header.Set("Authorization", "Bearer "+f.route.token)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := f.route.http.Do(req)
	switch {
	case err != nil:
		return nil, f.unreached(err)
	case resp.StatusCode >= 400:
		defer resp.Body.Close()
		return nil, answerError(resp)
	}
	return resp.Body, nil
}

// answerError reads the error that an answer holds.
func answerError(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what there is of it will do
	var e struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		return fmt.Errorf("the node answered %s", resp.Status)
	}
	return fmt.Errorf("%s: %s", e.Error, e.Message)
}

// call sends a request with a JSON body, if any, and prints the answer.
func (f *adminFlags) call(ctx context.Context, w world, method, path string, body any) error {
	var in io.Reader
	if body != nil {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false) // a payload stays as it is written
		if err := encoder.Encode(body); err != nil {
			return err
		}
		in = &text
	}
	answer, err := f.do(ctx, method, apiRoot+path, "application/json", in)
	if err != nil {
		return err
	}
	defer answer.Close()
	return printJSON(w.out, answer)
}

// printJSON prints JSON for people; nothing for nothing.
func printJSON(out io.Writer, in io.Reader) error {
	raw, err := io.ReadAll(in)
	if err != nil || len(raw) == 0 {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return fmt.Errorf("the node's answer is not JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err = b.WriteTo(out)
	return err
}

// pathOf joins escaped segments to a path.
func pathOf(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}
