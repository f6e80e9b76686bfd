// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strconv"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A receipt is what a publisher is told of its event.
type receipt struct {
	id            event.Cursor
	correlationID string
	timestamp     time.Time
	targets       int // gateways it is for
	connected     int // of them, those that have a connection
}

// of returns the receipt with an id.
func (r receipt) withID(id event.Cursor) receipt {
	r.id = id
	return r
}

// appendTo appends the receipt's JSON.
func (r *receipt) appendTo(dst []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = r.id.AppendText(dst)
	dst = append(dst, `","correlationId":`...)
	dst = event.AppendString(dst, r.correlationID)
	dst = append(dst, `,"timestamp":`...)
	dst = event.AppendTime(dst, r.timestamp)
	dst = append(dst, `,"targets":`...)
	dst = strconv.AppendInt(dst, int64(r.targets), 10)
	dst = append(dst, `,"connected":`...)
	dst = strconv.AppendInt(dst, int64(r.connected), 10)
	return append(dst, '}')
}

const (
	// receiptFor is how long after an event the log knows its idempotency key.
	receiptTTL = 2 * time.Minute
	// maxReceipts bounds what is remembered, to about 20 MiB. What was forgotten is
	// made again.
	maxReceipts = 1 << 16
)

// receipts remembers what publishes with an idempotency key were answered. Any
// goroutine may use it; the zero value is ready.
type receipts struct {
	mu    sync.Mutex
	byKey map[string]*keyedReceipt
	queue []*keyedReceipt // the oldest first; one whose key has another now is not in byKey
}

// A keyedReceipt is the receipt of a publish with an idempotency key.
type keyedReceipt struct {
	key    string // as the log has it, see [publishKey]
	digest string // of the text that was published, see [digestOf]
	receipt
}

func (k *keyedReceipt) expired(now time.Time) bool { return now.Sub(k.timestamp) >= receiptTTL }

// find returns the receipt of a key.
func (r *receipts) find(key string, now time.Time) (keyedReceipt, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.byKey[key]
	if k == nil || k.expired(now) {
		return keyedReceipt{}, false
	}
	return *k, true
}

// keep remembers a receipt and returns it, or the one that was kept before for the
// same event. So all that publish with one key at once are answered the same,
// whoever of them is the first to know.
func (r *receipts) add(of keyedReceipt, now time.Time) keyedReceipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byKey[of.key]; k != nil && k.id == of.id {
		return *k
	}
	for len(r.queue) > 0 && (len(r.queue) >= maxReceipts || r.queue[0].expired(now)) {
		r.drop(r.queue[0])
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
	if r.byKey == nil {
		r.byKey = make(map[string]*keyedReceipt)
	}
	r.byKey[of.key] = &of
	r.queue = append(r.queue, &of)
	return of
}

// drop is called with mu held.
func (r *receipts) drop(k *keyedReceipt) {
	if r.byKey[k.key] == k {
		delete(r.byKey, k.key)
	}
}
