// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	apiRoot    = "/api/internal/v1"
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// A gateway is a registered gateway.
type gateway struct {
	ID     string `json:"id"`
	Token  string `json:"token"`
	number int64  // in its load, from 1
	since  string // the position to resume after; empty: none
}

// A gatewayKind is what the gateways of a load have in common.
type gatewayKind struct {
	run   string // part of their ids and names; empty: the server makes the ids
	group string // their group; empty: none
}

// An admin is a client of the internal listener. Goroutines can share it.
type admin struct {
	root  string
	token string
	http  *http.Client
}

func newAdmin(t Target) *admin {
	scheme := "http://"
	if t.InternalTLS != nil {
		scheme = "https://"
	}
	return &admin{
		root: scheme + t.Internal + t.InternalPath, token: t.AdminToken,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: registrars, TLSClientConfig: t.InternalTLS}},
	}
}

func (a *admin) close() { a.http.CloseIdleConnections() }

// do sends a request and returns the response body if the status is want.
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

// registerAll registers n gateways, after the have gateways that are registered. On an error the
// list contains the ids of all gateways that may be registered, if their kind has a run.
func (a *admin) registerAll(ctx context.Context, have, n int, kind gatewayKind) ([]gateway, error) {
	list := make([]gateway, n)
	err := inParallel(ctx, n, registrars, func(ctx context.Context, i int) error {
		list[i].number = int64(have+i) + 1
		return a.register(ctx, &list[i], kind)
	})
	return list, err
}

// manageTimeout bounds one change of the registry.
const manageTimeout = 30 * time.Second

// register registers one gateway. It is not cancelled halfway: the caller must know whether to
// remove the gateway.
func (a *admin) register(ctx context.Context, g *gateway, kind gatewayKind) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), manageTimeout)
	defer cancel()
	request := struct {
		Name   string   `json:"name"`
		ID     string   `json:"id,omitempty"`
		Groups []string `json:"groups,omitempty"`
	}{Name: fmt.Sprintf("bench-%d", g.number)}
	if kind.run != "" {
		g.ID = fmt.Sprintf("bench-%s-%d", kind.run, g.number)
		request.Name, request.ID = g.ID, g.ID
	}
	if kind.group != "" {
		request.Groups = []string{kind.group}
	}
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	body, err := a.do(ctx, http.MethodPost, apiRoot+"/gateways", typeJSON, bytes.NewReader(b), http.StatusCreated)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(g)
}

// removeAll removes the gateways that are registered.
func (a *admin) removeAll(ctx context.Context, list []gateway) error {
	return inParallel(ctx, len(list), registrars, func(ctx context.Context, i int) error {
		if list[i].ID == "" {
			return nil
		}
		return a.remove(ctx, list[i].ID)
	})
}

func (a *admin) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, manageTimeout)
	defer cancel()
	body, err := a.do(ctx, http.MethodDelete, apiRoot+"/gateways/"+id, "", nil, http.StatusNoContent)
	switch refusal, ok := errors.AsType[*RefusedError](err); {
	case err == nil:
		return body.Close()
	case ok && refusal.Status == http.StatusNotFound:
		return nil
	}
	return fmt.Errorf("remove gateway %s: %w", id, err)
}

// publishAll publishes newline-delimited drafts, and checks that each one has a receipt.
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
			return fmt.Errorf("an event was not published: %.300s", lines.Bytes())
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

// metric returns the value of a metric without labels.
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
