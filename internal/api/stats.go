// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"io"
	"strconv"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"

	"github.com/valyala/fasthttp"
)

// statsPage is how many connections are in memory at once, and the default page
// size of a cluster's list.
const statsPage = 500

// showStats is GET /stats. The connections of this node are streamed.
func (s *Server) showStats(ctx *fasthttp.RequestCtx) error {
	gatewayID, err := nameParam(ctx, "gatewayId")
	if err != nil {
		return err
	}
	cluster, err := scopeParam(ctx)
	if err != nil {
		return err
	}
	limit, err := limitParam(ctx, unlimited)
	if err != nil {
		return err
	}
	cursor, _ := param(ctx, "cursor")
	// The answer of a cluster is held in memory, so it always has a limit.
	if cluster {
		if limit == unlimited {
			limit = statsPage
		}
		return s.showClusterStats(ctx, PageQuery{GatewayID: gatewayID, After: cursor, Limit: limit})
	}
	a := &statsAnswer{s: s, gatewayID: gatewayID, next: cursor, remaining: limit}
	if err := a.nextPage(); err != nil { // the status can still be an error
		return err
	}
	ctx.SetContentType(typeJSON)
	s.answerStream(ctx, a)
	return nil
}

// scopeParam reports whether the parameter "scope" asks for all nodes.
func scopeParam(ctx *fasthttp.RequestCtx) (cluster bool, err error) {
	switch scope, ok := param(ctx, "scope"); {
	case !ok, scope == "node":
		return false, nil
	case scope == "cluster":
		return true, nil
	}
	return false, badParam("scope", "want node or cluster")
}

// unlimited is the limit of a request without the parameter limit: all
// connections.
const unlimited = -1

// A statsAnswer makes the JSON of the stats, one page of connections in memory
// at a time.
type statsAnswer struct {
	s         *Server
	gatewayID string

	page      []stats.Connection // not yet in the answer
	next      string             // the cursor after page
	remaining int                // connections that may follow page, or unlimited
	started   bool               // the beginning of the JSON is in the answer
	written   bool               // a connection is in the answer, so a comma comes next
}

// nextPage gets the next page.
func (a *statsAnswer) nextPage() error {
	n := statsPage
	if a.remaining != unlimited {
		n = min(n, a.remaining)
	}
	page, next, err := a.s.cfg.Connections.Page(a.s.ctx, a.gatewayID, a.next, n)
	if errors.Is(err, ErrCursor) {
		return badParam("cursor", err.Error())
	}
	if err != nil {
		return unavailable("cannot list the connections: %v", err)
	}
	a.page, a.next = page, next
	if a.remaining != unlimited {
		a.remaining = max(a.remaining-len(page), 0)
	}
	return nil
}

// produce implements [producer].
func (a *statsAnswer) produce(dst []byte) ([]byte, error) {
	if !a.started {
		a.started = true
		dst = append(dst, `{"gatewayConnections":{"totalActive":`...)
		dst = strconv.AppendInt(dst, stats.TotalConnections(a.s.cfg.Shards), 10)
		dst = append(dst, `,"connections":[`...)
	}
	for i := range a.page {
		if a.written {
			dst = append(dst, ',')
		}
		a.written = true
		dst = stats.AppendConnection(dst, &a.page[i], a.s.cfg.NodeID)
	}
	if a.next == "" || a.remaining == 0 {
		return a.end(dst), io.EOF
	}
	if err := a.nextPage(); err != nil {
		a.s.cfg.Logger.Warn("internal listener: list of connections was cut off", "error", err)
		return dst, err
	}
	return dst, nil
}

// end appends what follows the connections.
func (a *statsAnswer) end(dst []byte) []byte {
	dst = append(dst, ']')
	if a.next != "" {
		dst = append(dst, `,"cursor":`...)
		dst = event.AppendString(dst, a.next)
	}
	dst = append(dst, `},"eventDelivery":`...)
	dst = stats.DeliveryOf(a.s.cfg.Shards, &a.s.cfg.Node.Failures).AppendJSON(dst)
	dst = append(dst, `,"node":`...)
	dst = stats.AppendNode(dst, a.s.cfg.NodeID, a.s.cfg.Version, a.s.cfg.StartedAt, a.s.cfg.Shards)
	return append(dst, '}', '\n')
}

// Close implements [producer].
func (a *statsAnswer) Close() error { return nil }
