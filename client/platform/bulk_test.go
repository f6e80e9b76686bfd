// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A bulkNode publishes lines like a node: it has a key for each line, and answers while it reads.
// fault decides how it fails.
type bulkNode struct {
	*httptest.Server
	mu       sync.Mutex
	receipts map[string]string // by key and line
	lines    map[string]string // text by key and line
	log      []string          // correlation ids
	requests int
	fault    func(line int) faultKind
}

type faultKind int

const (
	noFault      faultKind = iota
	cutBefore              // the connection ends before the line is published
	cutAfter               // the connection ends when the line is published
	unavailable            // a temporary refusal
	lost                   // the line is published, and the answer is a temporary refusal
	endedEarly             // the node ends the request before the line
	refusedEvent           // a refusal for good
)

func newBulkNode(t *testing.T, fault func(line int) faultKind) *bulkNode {
	n := &bulkNode{receipts: make(map[string]string), lines: make(map[string]string), fault: fault}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.serve(t, w, r) }))
	t.Cleanup(n.Close)
	return n
}

func (n *bulkNode) serve(t *testing.T, w http.ResponseWriter, r *http.Request) {
	duplex := http.NewResponseController(w)
	if err := duplex.EnableFullDuplex(); err != nil {
		t.Error(err)
	}
	n.mu.Lock()
	n.requests++
	n.mu.Unlock()
	in := bufio.NewReader(r.Body)
	for line := 1; ; line++ {
		text, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		answer, kind := n.publish(t, r.Header.Get("Idempotency-Key"), line, text)
		if kind == cutBefore || kind == cutAfter {
			if conn, _, err := duplex.Hijack(); err == nil { // net/http would first read the rest of the request
				_ = conn.Close()
			}
			return
		}
		_, _ = fmt.Fprintln(w, answer)
		if in.Buffered() == 0 || kind == endedEarly {
			_ = duplex.Flush()
		}
		if kind == endedEarly {
			_, _ = io.Copy(io.Discard, in) // to its end, as a node does
			return
		}
	}
}

func (n *bulkNode) publish(t *testing.T, key string, line int, text string) (answer string, kind faultKind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := fmt.Sprint(key, "/", line)
	if was, ok := n.lines[name]; ok && was != text {
		t.Errorf("line %d of key %s is %q, and was %q", line, key, text, was)
	}
	n.lines[name] = text
	if n.fault != nil {
		kind = n.fault(line)
	}
	refusal := func(code string) string { return fmt.Sprintf(`{"line":%d,"error":%q,"message":"no"}`, line, code) }
	switch kind {
	case cutBefore:
		return "", kind
	case unavailable:
		return refusal("unavailable"), kind
	case endedEarly:
		return refusal("draining"), kind
	case refusedEvent:
		return refusal("invalid_event"), kind
	}
	if n.receipts[name] == "" {
		var e Event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Error(err)
		}
		n.log = append(n.log, e.CorrelationID)
		n.receipts[name] = fmt.Sprintf(`{"id":"k-%d","correlationId":%q,"targets":1,"connected":0}`, len(n.log), e.CorrelationID)
	}
	if kind == lost {
		return refusal("unavailable"), kind
	}
	return n.receipts[name], kind
}

func (n *bulkNode) client(t *testing.T) *Client {
	return newClient(t, Config{URL: n.URL, Token: testToken, BackoffMin: time.Millisecond, BackoffMax: time.Millisecond})
}

// numbered returns n events with their numbers as correlation ids.
func numbered(n int) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for i := range n {
			if !yield(Event{All: true, Type: "t", CorrelationID: fmt.Sprint(i)}) {
				return
			}
		}
	}
}

// Each event is published once and has its receipt, over several requests and their faults.
func TestPublishAll(t *testing.T) {
	const total = segmentLines + 1234
	random := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name  string
		total int
		fault func(int) faultKind
	}{
		{"none", 0, nil},
		{"one", 1, nil},
		{"segments", total, nil},
		{"an exact segment", segmentLines, nil},
		{"faults", 3000, func(int) faultKind {
			if random.IntN(200) == 0 {
				return faultKind(random.IntN(int(refusedEvent)))
			}
			return noFault
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newBulkNode(t, tt.fault)
			next := 0
			for r, err := range n.client(t).PublishAll(t.Context(), numbered(tt.total)) {
				if err != nil || r.Err != nil || r.N != next || r.Receipt.CorrelationID != fmt.Sprint(next) || r.Event.CorrelationID != r.Receipt.CorrelationID || r.Receipt.ID == "" {
					t.Fatalf("result %d: %+v, %v", next, r, err)
				}
				next++
			}
			if next != tt.total || len(n.log) != tt.total {
				t.Errorf("%d results, %d published, want %d", next, len(n.log), tt.total)
			}
			seen := make(map[string]bool)
			for i, id := range n.log {
				if seen[id] || tt.fault == nil && id != fmt.Sprint(i) {
					t.Errorf("%d. published is %s", i, id)
				}
				seen[id] = true
			}
			if want := (tt.total + segmentLines - 1) / segmentLines; tt.fault == nil && n.requests != want || tt.fault != nil && n.requests < 3 {
				t.Errorf("%d requests, want %d", n.requests, want)
			}
		})
	}
}

// An event that is refused, or cannot be encoded, stops no other.
func TestPublishAllRefusals(t *testing.T) {
	n := newBulkNode(t, func(line int) faultKind {
		if line == 3 {
			return refusedEvent
		}
		return noFault
	})
	var got []string
	events := func(yield func(Event) bool) {
		for i := range 5 {
			e := Event{All: true, Type: "t", CorrelationID: fmt.Sprint(i)}
			if i == 1 {
				e.Payload = func() {}
			}
			if !yield(e) {
				return
			}
		}
	}
	for r, err := range n.client(t).PublishAll(t.Context(), events) {
		e, refused := errors.AsType[*Error](r.Err)
		if err != nil || refused && e.Code != "invalid_event" {
			t.Fatal(r, err)
		}
		got = append(got, fmt.Sprint(r.N, r.Receipt.ID != "", r.Err != nil, refused))
	}
	want := "[0 true false false 1 false true false 2 false true true 3 true false false 4 true false false]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// A receipt comes before the next event is there.
func TestPublishAllStreams(t *testing.T) {
	n := newBulkNode(t, nil)
	next := make(chan int, 1)
	events := func(yield func(Event) bool) {
		for i := range next {
			if !yield(Event{All: true, Type: "t", CorrelationID: fmt.Sprint(i)}) {
				return
			}
		}
	}
	next <- 0
	count := 0
	for r, err := range n.client(t).PublishAll(t.Context(), events) {
		if err != nil || r.Receipt.CorrelationID != fmt.Sprint(count) {
			t.Fatal(r, err)
		}
		if count++; count == 5 {
			close(next)
			continue
		}
		next <- count
	}
	if count != 5 || n.requests != 1 {
		t.Errorf("%d results by %d requests", count, n.requests)
	}
}

// A reader that is slow, or breaks, bounds what is taken from the input.
func TestPublishAllWindow(t *testing.T) {
	n := newBulkNode(t, nil)
	taken := 0
	events := func(yield func(Event) bool) {
		for yield(Event{All: true, Type: "t", CorrelationID: fmt.Sprint(taken)}) {
			taken++
		}
	}
	count := 0
	for _, err := range n.client(t).PublishAll(t.Context(), events) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 100 {
			break
		}
	}
	if taken > 100+maxWindow+1 {
		t.Errorf("%d events taken for %d results", taken, count)
	}
}

// An error that does not pass, and the end of the context, are the last element.
func TestPublishAllEnds(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { refuse(w, 401, "unauthorized") })
	var last error
	for r, err := range f.client(t).PublishAll(t.Context(), numbered(3)) {
		if err == nil || last != nil {
			t.Fatal(r, err)
		}
		last = err
	}
	if e, ok := errors.AsType[*Error](last); !ok || e.Status != 401 || len(f.received()) != 1 {
		t.Errorf("%v", last)
	}

	n := newBulkNode(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := func(yield func(Event) bool) {
		yield(Event{All: true, Type: "t"})
		<-ctx.Done()
	}
	count := 0
	for _, err := range n.client(t).PublishAll(ctx, events) {
		if last = err; err == nil {
			count++
			cancel()
		}
	}
	if count != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d results, %v", count, last)
	}
}

// A node that stops answering is given up, and what it was sent is sent again.
func TestPublishAllStalled(t *testing.T) {
	n := newBulkNode(t, nil)
	over := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		first := n.requests == 0
		if first {
			n.requests++
		}
		n.mu.Unlock()
		if first {
			<-over
			return
		}
		n.serve(t, w, r)
	}))
	defer proxy.Close()
	defer close(over)
	c := newClient(t, Config{URL: proxy.URL, Token: testToken, BackoffMin: time.Millisecond, AttemptTimeout: 50 * time.Millisecond})
	count := 0
	for r, err := range c.PublishAll(t.Context(), numbered(10)) {
		if err != nil || r.Err != nil {
			t.Fatal(r, err)
		}
		count++
	}
	if count != 10 || len(n.log) != 10 {
		t.Errorf("%d results, %d published", count, len(n.log))
	}
}
