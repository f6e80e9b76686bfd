// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A Platform is a client of a node's internal listener. Goroutines can share it.
type Platform struct {
	URL   string       // of the listener: http://HOST:PORT
	Token string       // admin token
	HTTP  *http.Client // nil: http.DefaultClient
}

// Call sends a request and returns the status and the body of the response. path is below
// /api/internal/v1. body can be nil, a string, an [io.Reader], or a value that is sent as JSON.
// headers are names and values in turn.
func (p *Platform) Call(ctx context.Context, method, path string, body any, headers ...string) (status int, answer []byte, err error) {
	var in io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(body)
	case io.Reader:
		in = body
	default:
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.URL+"/api/internal/v1"+path, in)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return p.send(req)
}

// Do is Call for a request whose response must have the status want. It decodes the response into
// into, unless that is nil.
func (p *Platform) Do(ctx context.Context, method, path string, body any, want int, into any, headers ...string) error {
	status, answer, err := p.Call(ctx, method, path, body, headers...)
	switch {
	case err != nil:
		return err
	case status != want:
		return fmt.Errorf("%s %s: status %d, want %d: %.300s", method, path, status, want, answer)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s %s: %w: %.300s", method, path, err, answer)
	}
	return nil
}

// Metrics returns the values of all metrics of the node, by name and labels as in /metrics.
func (p *Platform) Metrics(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	status, answer, err := p.send(req)
	switch {
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, fmt.Errorf("/metrics: status %d", status)
	}
	values := make(map[string]float64)
	lines := bufio.NewScanner(bytes.NewReader(answer))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	return values, lines.Err()
}

func (p *Platform) send(req *http.Request) (status int, answer []byte, err error) {
	req.Header.Set("Authorization", "Bearer "+p.Token)
	resp, err := cmp.Or(p.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
