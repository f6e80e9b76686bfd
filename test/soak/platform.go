// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/test/testenv"
)

// A platform is a client of the internal listener. Goroutines can share it.
type platform struct{ testenv.Platform }

func newPlatform(t bench.Target) *platform {
	return &platform{testenv.Platform{
		URL: "http://" + t.Internal, Token: t.AdminToken,
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: timeout},
	}}
}

func (p *platform) close() { p.HTTP.CloseIdleConnections() }

// attempts is the number of attempts of an action that can fail.
const attempts = 3

// publish publishes an event, with several attempts under one idempotency key, and returns its
// sequence.
func (p *platform) publish(ctx context.Context, audience, key string, payload []byte) (seq uint64, err error) {
	body := `{` + audience + `,"type":"soak.event","payload":{"pad":"` + string(payload) + `"}}`
	var receipt struct{ ID event.Cursor }
	for range attempts {
		var again error
		if again = p.Do(ctx, http.MethodPost, "/events", body, http.StatusAccepted, &receipt, "Idempotency-Key", key); again == nil {
			return receipt.ID.Seq, nil
		}
		err = errors.Join(err, again)
	}
	return 0, err
}

// connections returns the ids of the connections of a gateway.
func (p *platform) connections(ctx context.Context, gateway string) (ids []string, err error) {
	var answer struct {
		GatewayConnections struct {
			Connections []struct{ ConnectionID string }
		}
	}
	err = p.Do(ctx, http.MethodGet, "/stats?gatewayId="+gateway, "", http.StatusOK, &answer)
	for _, c := range answer.GatewayConnections.Connections {
		ids = append(ids, c.ConnectionID)
	}
	return ids, err
}

// timeout bounds each wait. It is long, for busy machines.
const timeout = 30 * time.Second

// await waits until a condition holds.
func await(ctx context.Context, what string, is func() bool) error {
	return awaitEvery(ctx, 5*time.Millisecond, what, is)
}

// awaitEvery is await with an interval between two checks.
func awaitEvery(ctx context.Context, between time.Duration, what string, is func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("timed out after %v waiting until %s", timeout, what))
	defer cancel()
	for !is() {
		if err := pause(ctx, between); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d, or until ctx ends; then it returns the cause of ctx.
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
