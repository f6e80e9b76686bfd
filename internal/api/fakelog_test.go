// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// fakeEpoch is "10" in an id.
const fakeEpoch = 36

// A fakeLog keeps events in memory, and never forgets idempotency keys.
type fakeLog struct {
	mu          sync.Mutex
	taken       []Published
	byKey       map[string]event.Cursor // idempotency keys
	asked       int                     // appends, duplicates too
	fail        error                   // of appends
	unconfirmed error                   // of those that have begun
	failRead    error
	failReadAt  uint64                    // of a list after this sequence, if not 0
	outcomes    map[uint64]DeliveryStatus // of events
	mostListed  int                       // the longest list that was asked for
	lost        int                       // events that it had and has no more
	mostBytes   int                       // the most bytes of a list, but for its last event
	looksAt     int                       // events that a List looks at, at most; 0: at all

	inFlight int           // appended and not waited for
	most     int           // the most there were of them
	gate     chan struct{} // while it is there and not closed, no event is confirmed
	blocked  chan struct{} // receives a value when an append waits; nil: nobody listens
}

func (l *fakeLog) AppendAsync(ev *event.Event, body []byte) (Pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.fail != nil {
		return nil, l.fail
	}
	l.inFlight++
	l.most = max(l.most, l.inFlight)
	if c, ok := l.byKey[ev.IdempotencyKey]; ok {
		return &fakePending{l: l, c: c, duplicate: true}, nil
	}
	c := event.Cursor{Epoch: fakeEpoch, Seq: uint64(len(l.taken) + 1)}
	l.taken = append(l.taken, Published{Cursor: c, Target: ev.Target, Key: ev.Key, Body: slices.Clone(body), Receipt: ev.Receipt})
	if ev.IdempotencyKey != "" {
		if l.byKey == nil {
			l.byKey = make(map[string]event.Cursor)
		}
		l.byKey[ev.IdempotencyKey] = c
	}
	return &fakePending{l: l, c: c}, nil
}

// close stops confirming appends until open.
func (l *fakeLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate, l.blocked = make(chan struct{}), make(chan struct{}, 1000)
}

func (l *fakeLog) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gate != nil {
		close(l.gate)
		l.gate = nil
	}
}

// events returns the bodies of the stored events.
func (l *fakeLog) events() (bodies []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.taken {
		bodies = append(bodies, string(p.Body))
	}
	return bodies
}

func (l *fakeLog) unanswered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight
}

func (l *fakeLog) Contains(_ context.Context, id event.Cursor) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return id.Epoch == fakeEpoch && (id.Seq <= uint64(len(l.taken)) || l.lost == 0), nil
}

func (l *fakeLog) Event(_ context.Context, id event.Cursor) (Published, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failRead != nil:
		return Published{}, l.failRead
	case id.Seq == 0 || id.Seq > uint64(len(l.taken)):
		return Published{}, fmt.Errorf("event %v: %w", id, ErrNotRetained)
	}
	return l.taken[id.Seq-1], nil
}

func (l *fakeLog) List(_ context.Context, q ListQuery) (list []Published, next event.Cursor, more bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failRead != nil || l.failReadAt > 0 && q.After.Seq >= l.failReadAt {
		return nil, event.Cursor{}, false, cmp.Or(l.failRead, errUnreadable)
	}
	l.mostListed = max(l.mostListed, q.Limit)
	next = event.Cursor{Epoch: fakeEpoch, Seq: max(q.After.Seq, uint64(len(l.taken)))}
	looked, bytes := 0, 0
	for _, p := range l.taken {
		if p.Cursor.Seq <= q.After.Seq {
			continue
		}
		if looked++; l.looksAt > 0 && looked > l.looksAt {
			next.Seq = p.Cursor.Seq - 1
			return list, next, true, nil
		}
		t := p.Target
		mine := q.GatewayID == "" || t.All || t.Group == "all-of-them" || t.OrganizationID == "acme" || slices.Contains(t.GatewayIDs, q.GatewayID)
		if !mine || q.Type != "" && event.ReadHead(p.Body).Type != q.Type {
			continue
		}
		list = append(list, p)
		bytes += len(p.Body)
		l.mostBytes = max(l.mostBytes, bytes-len(p.Body))
		if len(list) == q.Limit || bytes >= q.Bytes {
			return list, p.Cursor, true, nil
		}
	}
	return list, next, false, nil
}

var errUnreadable = fmt.Errorf("no quorum")

func (l *fakeLog) DeliveryStatus(_ context.Context, id event.Cursor) (DeliveryStatus, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.outcomes[id.Seq]
	if !ok && l.outcomes != nil {
		return DeliveryStatus{}, ErrNotRetained
	}
	return o, nil
}

type fakePending struct {
	l         *fakeLog
	c         event.Cursor
	duplicate bool
	answered  sync.Once
}

func (p *fakePending) Duplicate() bool { return p.duplicate }

func (p *fakePending) Wait(ctx context.Context) (event.Cursor, error) {
	p.l.mu.Lock()
	gate, blocked := p.l.gate, p.l.blocked
	p.l.mu.Unlock()
	if gate != nil {
		blocked <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
			return event.Cursor{}, ctx.Err()
		}
	}
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.answered.Do(func() { p.l.inFlight-- })
	return p.c, p.l.unconfirmed
}

// A fakeList is a list of JSON texts with the cursors PREFIX-N.
type fakeList struct {
	text func(n int) string // of entry n
	mu   sync.Mutex
	all  []json.RawMessage
	fail error
	most int // the longest page that was asked for
}

func (f *fakeList) page(prefix, after string, limit int) (list []json.RawMessage, at int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.most = max(f.most, limit)
	if f.fail != nil {
		return nil, 0, f.fail
	}
	if after != "" {
		if _, err := fmt.Sscanf(after, prefix+"-%d", &at); err != nil {
			return nil, 0, fmt.Errorf("%q is %w", after, ErrCursor)
		}
	}
	end := min(at+limit, len(f.all))
	return f.all[at:end], end, nil
}

func (f *fakeList) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.all = append(f.all, json.RawMessage(f.text(len(f.all))))
	}
}

// inFull returns a text with the entries that #0, #1 and so on stand for.
func (f *fakeList) inFull(text string) string {
	return regexp.MustCompile(`#\d+`).ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.Atoi(s[1:])
		return f.text(n)
	})
}

func deliveryText(n int) string {
	return fmt.Sprintf(`{"time":"1970-01-01T00:10:00.%09dZ","eventId":"10-%d","type":"t","gatewayId":"g2","correlationId":"c","reason":"not_connected","status":"failed"}`, n, n+1)
}

// messageText is of every third message another type's.
func messageText(n int) string {
	if n%3 == 1 {
		return fmt.Sprintf(`{"id":"m-%d","type":"deployment.ack","gatewayId":"g1","connectionId":"%s","timestamp":"1970-01-01T00:10:00.%09dZ","payload":{"type":"event.ack"}}`,
			n+1, fakeConnectionID(0), n)
	}
	return fmt.Sprintf(`{"id":"m-%d","type":"event.ack","gatewayId":"g1","connectionId":"%s","timestamp":"1970-01-01T00:10:00.%09dZ","eventId":"10-%d","status":"failed","error":"no room"}`,
		n+1, fakeConnectionID(0), n, n+1)
}

// fakeFailures records the last query.
type fakeFailures struct {
	fakeList
	last FailureQuery
}

func (f *fakeFailures) List(_ context.Context, q FailureQuery) (list []json.RawMessage, next string, err error) {
	list, at, err := f.page("f", q.After, q.Limit)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = q
	if at < len(f.all) {
		next = fmt.Sprintf("f-%d", at)
	}
	return list, next, err
}

// fakeMessages records every wait.
type fakeMessages struct {
	fakeList
	waits   []time.Duration
	arrived chan struct{} // ends a wait; nil: there is none
	waiting chan struct{} // receives a value when a request waits
}

func (f *fakeMessages) List(ctx context.Context, q MessageQuery) (list []json.RawMessage, cursor string, err error) {
	list, at, err := f.page("m", q.After, q.Limit)
	if err != nil || len(list) > 0 || q.Wait == 0 {
		return list, fmt.Sprintf("m-%d", at), err
	}
	f.mu.Lock()
	f.waits = append(f.waits, q.Wait)
	arrived, waiting := f.arrived, f.waiting
	f.mu.Unlock()
	if arrived == nil { // nothing comes in time
		return nil, fmt.Sprintf("m-%d", at), nil
	}
	waiting <- struct{}{}
	select {
	case <-arrived:
		q.Wait = 0
		return f.List(ctx, q)
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}
