// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	apiRoot    = "/api/internal/v1"
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// A gateway is one that was registered.
type gateway struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

// An admin speaks to the internal route. Goroutines may share it.
type admin struct {
	root  string
	token string
	http  *http.Client
}

func newAdmin(t Target) *admin {
	return &admin{
		root: "http://" + t.Internal, token: t.AdminToken,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: registrars}},
	}
}

func (a *admin) close() { a.http.CloseIdleConnections() }

// do makes a request and returns the answer's body, if its status is want.
func (a *admin) do(ctx context.Context, method, path, contentType string, body io.Reader, want int) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.root+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	answer, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != want {
		defer answer.Body.Close()
		return nil, refused(answer)
	}
	return answer.Body, nil
}

// refused makes an error of an answer.
func refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
	return fmt.Errorf("the server answers %s: %s", answer.Status, bytes.TrimSpace(text))
}

// registerAll registers n gateways, some at once.
func (a *admin) registerAll(ctx context.Context, n, atOnce int) ([]gateway, error) {
	list := make([]gateway, n)
	err := inParallel(ctx, n, atOnce, func(ctx context.Context, i int) (err error) {
		list[i], err = a.register(ctx, fmt.Sprintf("bench-%d", i))
		return err
	})
	return list, err
}

func (a *admin) register(ctx context.Context, name string) (g gateway, err error) {
	request := strings.NewReader(`{"name":"` + name + `"}`)
	body, err := a.do(ctx, http.MethodPost, apiRoot+"/gateways", typeJSON, request, http.StatusCreated)
	if err != nil {
		return gateway{}, err
	}
	defer body.Close()
	return g, json.NewDecoder(body).Decode(&g)
}

// publishAll publishes newline-delimited drafts and checks that each of them got
// a receipt.
func (a *admin) publishAll(ctx context.Context, drafts []byte, count int) error {
	body, err := a.do(ctx, http.MethodPost, apiRoot+"/events", typeNDJSON, bytes.NewReader(drafts), http.StatusOK)
	if err != nil {
		return err
	}
	defer body.Close()
	receipts := 0
	lines := bufio.NewScanner(body)
	for ; lines.Scan(); receipts++ {
		if !bytes.Contains(lines.Bytes(), []byte(`"id":`)) {
			return fmt.Errorf("not published: %.300s", lines.Bytes())
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if receipts != count {
		return fmt.Errorf("%d events published, %d receipts", count, receipts)
	}
	return nil
}

// metric reads a metric that has no labels.
func (a *admin) metric(ctx context.Context, name string) (float64, error) {
	body, err := a.do(ctx, http.MethodGet, "/metrics", "", nil, http.StatusOK)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
