// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/internal/event"
)

// A platform speaks to the internal route. Goroutines may share it.
type platform struct {
	root  string
	token string
	http  *http.Client
}

func newPlatform(t bench.Target) *platform {
	return &platform{
		root: "http://" + t.Internal, token: t.AdminToken,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: patience},
	}
}

func (p *platform) close() { p.http.CloseIdleConnections() }

// do makes a request and, if its status is want, decodes the answer into into,
// which may be nil.
func (p *platform) do(ctx context.Context, method, path, body string, want int, into any, headers ...string) error {
	req, err := http.NewRequestWithContext(ctx, method, p.root+"/api/internal/v1"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	answer, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode != want:
		return fmt.Errorf("%s %s: status %d where %d was to come: %.300s", method, path, answer.StatusCode, want, b)
	case into == nil:
		return nil
	}
	return json.Unmarshal(b, into)
}

// attempts is how often something is tried that need not come off at once.
const attempts = 3

// publish publishes an event until there is a receipt, always under one key, and
// returns its sequence.
func (p *platform) publish(ctx context.Context, audience, key string, payload []byte) (seq uint64, err error) {
	body := `{` + audience + `,"type":"soak.event","payload":{"pad":"` + string(payload) + `"}}`
	var receipt struct{ ID event.Cursor }
	for range attempts {
		var again error
		if again = p.do(ctx, http.MethodPost, "/events", body, http.StatusAccepted, &receipt, "Idempotency-Key", key); again == nil {
			return receipt.ID.Seq, nil
		}
		err = errors.Join(err, again)
	}
	return 0, err
}

// connections returns the ids of a gateway's connections.
func (p *platform) connections(ctx context.Context, gateway string) (ids []string, err error) {
	var answer struct {
		GatewayConnections struct {
			Connections []struct{ ConnectionID string }
		}
	}
	err = p.do(ctx, http.MethodGet, "/stats?gatewayId="+gateway, "", http.StatusOK, &answer)
	for _, c := range answer.GatewayConnections.Connections {
		ids = append(ids, c.ConnectionID)
	}
	return ids, err
}

// metrics reads those that have no labels.
func (p *platform) metrics(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.root+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	values := make(map[string]float64)
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.Contains(name, "{") {
			values[name] = v
		}
	}
	return values, lines.Err()
}

// patience bounds the wait for anything that should be so in a moment. A busy
// machine has long moments.
const patience = 30 * time.Second

// await waits until something is so.
func await(ctx context.Context, what string, is func() bool) error {
	return awaitEvery(ctx, 5*time.Millisecond, what, is)
}

// awaitEvery is await with a time between two looks.
func awaitEvery(ctx context.Context, between time.Duration, what string, is func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("after %v it is not so that %s", patience, what))
	defer cancel()
	for !is() {
		if err := pause(ctx, between); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for a time, or until ctx ends and then returns the cause of that.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
