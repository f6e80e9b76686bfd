// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatecast/api"
	"gatecast/event"
	"gatecast/eventlog"
	"gatecast/shard"
	"gatecast/stats"

	"github.com/google/uuid"
)

// apiLog is the event log as the api wants it, with its time taken.
type apiLog struct {
	log    *eventlog.Log
	counts *stats.Node
}

func (l apiLog) Append(ctx context.Context, ev *event.Event, body []byte) (event.Cursor, error) {
	start := time.Now()
	c, err := l.log.Append(ctx, ev, body)
	l.counts.LogAppendSeconds.Observe(time.Since(start).Seconds())
	return c, err
}

func (l apiLog) AppendAsync(ev *event.Event, body []byte) (api.Pending, error) {
	return l.log.AppendAsync(ev, body)
}

// apiConnections is the router as the api wants it.
type apiConnections struct{ router *shard.Router }

func (c apiConnections) Page(_ context.Context, gatewayID, after string, limit int) ([]stats.Connection, string, error) {
	page, next, err := c.router.Page(gatewayID, after, limit)
	if errors.Is(err, shard.ErrPage) {
		return nil, "", fmt.Errorf("%w: %v", api.ErrCursor, err)
	}
	return page, next, err
}

func (c apiConnections) CloseConnection(_ context.Context, id uuid.UUID) (bool, error) {
	return c.router.CloseConnection(id), nil
}
