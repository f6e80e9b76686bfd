// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strconv"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A receipt is the answer to the publisher of one event.
type receipt struct {
	id            event.Cursor
	correlationID string
	timestamp     time.Time
	targets       int // gateways that the event is for
	connected     int // of targets: gateways with a connection on any node
}

// withID returns the receipt with an event id.
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

// Receipts of publishes with an idempotency key are remembered for receiptTTL,
// as long as the log knows the keys. maxReceipts bounds them to about 20 MiB;
// one that was evicted is read from the log again.
const (
	receiptTTL  = 2 * time.Minute
	maxReceipts = 1 << 16
)

// receipts remembers the answers to publishes with an idempotency key. Any
// goroutine may call it. The zero value is ready.
type receipts struct {
	mu    sync.Mutex
	byKey map[string]*keyedReceipt
	queue []*keyedReceipt // oldest first; includes receipts whose key byKey has a newer one for
}

// A keyedReceipt is the receipt of a publish with an idempotency key.
type keyedReceipt struct {
	key    string // as the log stores it, see [publishKey]
	digest string // of the publisher's text, see [digestOf]
	receipt
}

// expired reports whether the key may be used for another event.
func (k *keyedReceipt) expired(now time.Time) bool { return now.Sub(k.timestamp) >= receiptTTL }

// find returns the receipt of a key, unless it has expired.
func (r *receipts) find(key string, now time.Time) (keyedReceipt, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.byKey[key]
	if k == nil || k.expired(now) {
		return keyedReceipt{}, false
	}
	return *k, true
}

// add remembers a receipt and returns it. If a receipt of the same event is
// already there, it returns that one. So all concurrent publishes with one key
// get the same answer, whichever of them is first.
func (r *receipts) add(of keyedReceipt, now time.Time) keyedReceipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byKey[of.key]; k != nil && k.id == of.id {
		return *k
	}
	// Amortized: each publish with a key removes the expired receipts of
	// earlier ones.
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

// drop forgets a receipt. mu is held.
func (r *receipts) drop(k *keyedReceipt) {
	if r.byKey[k.key] == k {
		delete(r.byKey, k.key)
	}
}
