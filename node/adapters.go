// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"

	"gatecast/api"
	"gatecast/event"
	"gatecast/eventlog"
	"gatecast/shard"
	"gatecast/stats"

	"github.com/google/uuid"
)

// apiLog is the event log as the api wants it.
type apiLog struct{ *eventlog.Log }

// AppendAsync returns the log's own pending append as the api's.
func (l apiLog) AppendAsync(ev *event.Event, body []byte) (api.Pending, error) {
	return l.Log.AppendAsync(ev, body)
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
