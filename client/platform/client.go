// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Root is the prefix of the paths of the API.
const Root = "/api/internal/v1"

// Media types of requests.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// maxResponse bounds a response that is decoded: several times the largest page, in bytes.
const maxResponse = 64 << 20

// A Client calls one node, or a balancer in front of several. Goroutines can share it.
type Client struct {
	cfg  Config
	base string // of URLs, without a trailing slash
	http *http.Client
}

// New returns a client. It sends nothing yet.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	trust, err := cfg.trust()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	dial := cfg.NetDial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	} else {
		transport.Proxy = nil
	}
	transport.DialContext = watched(dial)
	transport.TLSClientConfig = trust
	transport.MaxIdleConnsPerHost = 16
	return &Client{cfg: cfg, base: base, http: &http.Client{
		Transport: transport,
		// No route redirects. The token must not follow one to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes the idle connections. Calls in progress continue; a later call opens new
// connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends one request, once, to a path such as [Root] + "/stats", and returns the response's
// body, which the caller closes. A status of 300 or more is an [*Error]. A nil body sends none.
// contentType is the media type of body, or without a body that of the response; "" leaves it to
// the node. Do is for routes without a method of their own.
func (c *Client) Do(ctx context.Context, method, path, contentType string, body io.Reader) (io.ReadCloser, error) {
	header := make(http.Header)
	switch {
	case contentType == "":
	case body != nil:
		header.Set("Content-Type", contentType)
	default:
		header.Set("Accept", contentType)
	}
	return c.send(ctx, method, path, header, body)
}

// send sends one request with the admin token.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, body io.Reader) (io.ReadCloser, error) {
	token, err := c.cfg.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token) // never in an error: only the URL is
	}
	return c.sendWithout(ctx, method, path, header, body)
}

// sendWithout sends one request without the admin token.
func (c *Client) sendWithout(ctx context.Context, method, path string, header http.Header, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, &localError{fmt.Errorf("platform: %w", err)}
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp.Body, nil
}

// Ready asks the node once whether it accepts gateways and reaches its log. A node that is
// starting or draining is an [*Error] with status 503. The request has no token.
func (c *Client) Ready(ctx context.Context) error {
	body, err := c.sendWithout(ctx, http.MethodGet, "/ready", make(http.Header), nil)
	if err != nil {
		return err
	}
	return discard(body)
}

// call sends one request, with in as JSON unless it is nil, and decodes the response into out
// unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	header := make(http.Header)
	var body io.Reader
	if in != nil {
		b, err := encode(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
		header.Set("Content-Type", typeJSON)
	}
	resp, err := c.send(ctx, method, Root+path, header, body)
	if err != nil {
		return err
	}
	if out == nil {
		return discard(resp)
	}
	return decode(resp, out)
}

// encode returns v as one line of JSON. A payload that is a json.RawMessage keeps its text but for
// white space.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, &localError{fmt.Errorf("platform: cannot encode the request: %w", err)}
	}
	return b.Bytes(), nil
}

// decode reads a response's body to its end, so that the connection can be reused, and closes it.
func decode(body io.ReadCloser, out any) error {
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxResponse+1))
	switch {
	case err != nil:
		return err
	case len(b) > maxResponse:
		return &localError{fmt.Errorf("platform: the node's response is longer than %d bytes", maxResponse)}
	}
	if err := json.Unmarshal(b, out); err != nil {
		return &localError{fmt.Errorf("platform: the node's response cannot be decoded: %w", err)}
	}
	return nil
}

// discard reads a response's body to its end, so that the connection can be reused, and closes
// it.
func discard(body io.ReadCloser) error {
	_, err := io.Copy(io.Discard, io.LimitReader(body, maxProblem))
	return errors.Join(err, body.Close())
}

// pathOf returns "/a/b" for a and b, with each segment escaped.
func pathOf(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}
