// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// The JSON of the stats route is appended in pieces, because the list of connections
// can be long: one page of it is written out before the next one is made.

// AppendConnection appends c as an element of the list of connections. node is the id
// of the node that holds it.
func AppendConnection(dst []byte, c *Connection, node string) []byte {
	dst = append(dst, `{"gatewayId":`...)
	dst = event.AppendString(dst, c.GatewayID)
	dst = append(dst, `,"connectionId":"`...)
	dst = appendUUID(dst, c.ConnectionID)
	dst = append(dst, `","connectedAt":`...)
	dst = event.AppendTime(dst, c.ConnectedAt)
	dst = append(dst, `,"lastHeartbeat":`...)
	dst = event.AppendTime(dst, c.LastHeartbeat)
	dst = append(dst, `,"status":`...)
	dst = event.AppendString(dst, c.Status)
	dst = append(dst, `,"remoteAddr":"`...)
	if c.RemoteAddr.IsValid() {
		dst = c.RemoteAddr.AppendTo(dst)
	}
	dst = append(dst, `","eventsSent":`...)
	dst = strconv.AppendUint(dst, c.EventsSent, 10)
	dst = append(dst, `,"queuedBytes":`...)
	dst = strconv.AppendInt(dst, int64(c.QueuedBytes), 10)
	dst = append(dst, `,"cursor":`...)
	dst = appendCursor(dst, c.Cursor)
	dst = append(dst, `,"node":`...)
	dst = event.AppendString(dst, node)
	dst = append(dst, `,"shard":`...)
	dst = strconv.AppendInt(dst, int64(c.Shard), 10)
	return append(dst, '}')
}

// Delivery is the delivery totals of one node or of several. In JSON it is the object
// "eventDelivery" of the stats.
type Delivery struct {
	Sent              uint64    `json:"totalEventsSent"`   // events written to connections since the nodes started
	Failed            uint64    `json:"failedDeliveries"`  // since the nodes started
	LastFailureTime   time.Time `json:"lastFailureTime"`   // zero, null in JSON: there was none
	LastFailureReason string    `json:"lastFailureReason"` // [event.FailureReason.Text]; empty, null in JSON: there was none
}

// DeliveryOf returns the delivery totals of a node: those of its shards, and the failures
// that are counted outside of them.
func DeliveryOf(shards []*Shard, other *Failures) Delivery {
	d := Delivery{
		Sent:   Sum(shards, func(s *Shard) uint64 { return s.Delivered.Load() }),
		Failed: TotalFailures(shards, other),
	}
	if at, reason, ok := lastFailureOf(shards, other); ok {
		d.LastFailureTime, d.LastFailureReason = at, reason.Text()
	}
	return d
}

// Add adds the totals of another node. The later failure is the last one.
func (d *Delivery) Add(o Delivery) {
	d.Sent += o.Sent
	d.Failed += o.Failed
	if o.LastFailureTime.After(d.LastFailureTime) {
		d.LastFailureTime, d.LastFailureReason = o.LastFailureTime, o.LastFailureReason
	}
}

// AppendJSON appends d as a JSON object.
func (d Delivery) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"totalEventsSent":`...)
	dst = strconv.AppendUint(dst, d.Sent, 10)
	dst = append(dst, `,"failedDeliveries":`...)
	dst = strconv.AppendUint(dst, d.Failed, 10)
	dst = append(dst, `,"lastFailureTime":`...)
	dst = event.AppendTime(dst, d.LastFailureTime)
	dst = append(dst, `,"lastFailureReason":`...)
	if d.LastFailureTime.IsZero() {
		return append(dst, `null}`...)
	}
	return append(event.AppendString(dst, d.LastFailureReason), '}')
}

// MarshalJSON implements [json.Marshaler].
func (d Delivery) MarshalJSON() ([]byte, error) { return d.AppendJSON(nil), nil }

// AppendNode appends the object "node": the node's id, version, start time and shards.
func AppendNode(dst []byte, id, version string, startedAt time.Time, shards []*Shard) []byte {
	dst = append(dst, `{"id":`...)
	dst = event.AppendString(dst, id)
	dst = append(dst, `,"version":`...)
	dst = event.AppendString(dst, version)
	dst = append(dst, `,"startedAt":`...)
	dst = event.AppendTime(dst, startedAt)
	dst = append(dst, `,"shards":[`...)
	for i, s := range shards {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.appendJSON(dst)
	}
	return append(dst, `]}`...)
}

// appendJSON appends an element of node.shards. queued is in bytes, delivered counts
// events since the start.
func (s *Shard) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"connections":`...)
	dst = strconv.AppendInt(dst, s.Connections.Load(), 10)
	dst = append(dst, `,"gateways":`...)
	dst = strconv.AppendInt(dst, s.Gateways.Load(), 10)
	dst = append(dst, `,"queued":`...)
	dst = strconv.AppendInt(dst, s.QueuedBytes.Load(), 10)
	dst = append(dst, `,"delivered":`...)
	dst = strconv.AppendUint(dst, s.Delivered.Load(), 10)
	return append(dst, '}')
}

// TotalConnections returns how many connections the shards hold now.
func TotalConnections(shards []*Shard) int64 {
	return Sum(shards, func(s *Shard) int64 { return s.Connections.Load() })
}

// TotalFailures returns how many deliveries have failed since the node started.
func TotalFailures(shards []*Shard, other *Failures) (total uint64) {
	add := func(_ string, n uint64) { total += n }
	for _, s := range shards {
		s.Failed.Each(add)
	}
	other.Each(add)
	return total
}

// lastFailureOf returns the latest failure of the shards and of the node; ok is
// false if there was none.
func lastFailureOf(shards []*Shard, other *Failures) (at time.Time, reason event.FailureReason, ok bool) {
	at, reason, ok = other.last.load()
	for _, s := range shards {
		if t, r, failed := s.LastFailure(); failed && (!ok || t.After(at)) {
			at, reason, ok = t, r, true
		}
	}
	return at, reason, ok
}

// appendUUID appends u.String() without allocating the string.
func appendUUID(dst []byte, u uuid.UUID) []byte {
	dst = hex.AppendEncode(dst, u[:4])
	for _, part := range [][]byte{u[4:6], u[6:8], u[8:10], u[10:]} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// appendCursor appends a cursor as JSON; the zero Cursor is null.
func appendCursor(dst []byte, c event.Cursor) []byte {
	if c.IsZero() {
		return append(dst, `null`...)
	}
	dst = append(dst, '"')
	dst = c.AppendText(dst)
	return append(dst, '"')
}
