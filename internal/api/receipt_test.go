// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// publishAs publishes with an idempotency key.
func (r *rig) publishAs(key, body string) reply {
	r.t.Helper()
	req := r.request("POST", prefix+"/events", strings.NewReader(body))
	req.Header.Set(headerIdempotencyKey, key)
	return r.send(req)
}

// bulkAs publishes newline-delimited JSON with an idempotency key.
func (r *rig) bulkAs(key, body string) []string {
	r.t.Helper()
	req := r.request("POST", prefix+"/events", strings.NewReader(body))
	req.Header.Set(headerIdempotencyKey, key)
	req.Header.Set("Content-Type", typeNDJSON)
	got := r.send(req)
	if got.status != 200 {
		r.t.Fatalf("%d %s", got.status, got.body)
	}
	return strings.Split(got.body, "\n")
}

// published returns how many events the metrics count.
func (r *rig) published() string {
	r.t.Helper()
	for line := range strings.Lines(r.do("GET", "/metrics", "").body) {
		if n, ok := strings.CutPrefix(line, `gatecast_events_published_total{type="t"} `); ok {
			return strings.TrimSpace(n)
		}
	}
	return "0"
}

func TestIdempotencyKeyIsChecked(t *testing.T) {
	tests := []struct {
		name   string
		keys   []string
		status int
	}{
		{"none", nil, 202},
		{"one character", []string{"k"}, 202},
		{"every visible character", []string{"!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"}, 202},
		{"the longest", []string{strings.Repeat("k", 128)}, 202},
		{"too long", []string{strings.Repeat("k", 129)}, 400},
		{"empty", []string{""}, 400},
		{"spaces and tabs inside", []string{"a b\tc"}, 202},
		{"UTF-8", []string{"kü"}, 202},
		{"bytes that are not UTF-8", []string{"k\xff\xfe"}, 202},
		{"quoted", []string{`"8e03978e-40d5-43e8-bc93-6894a57f9324"`}, 202},
		{"two", []string{"a", "a"}, 400},
		{"two that differ", []string{"a", "b"}, 400},
	}
	for _, tt := range tests {
		for _, media := range []string{typeJSON, typeNDJSON} {
			t.Run(tt.name+", "+media, func(t *testing.T) {
				t.Parallel()
				r := start(t)
				req := r.request("POST", prefix+"/events", strings.NewReader(good))
				req.Header.Set("Content-Type", media)
				for _, key := range tt.keys {
					req.Header.Add(headerIdempotencyKey, key)
				}
				got := r.send(req)
				if tt.status == 400 {
					const want = `{"error":"bad_request","message":"header Idempotency-Key: want one value of 1 to 128 bytes","field":"Idempotency-Key"}`
					if got.status != 400 || got.body != want || len(r.log.events()) > 0 {
						t.Errorf("%d %s", got.status, got.body)
					}
					return
				}
				if !strings.HasPrefix(got.body, `{"id":"10-1"`) {
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
	}
}

// A movingRegistry reports one more connected gateway at each call.
type movingRegistry struct {
	Registry
	asked atomic.Int32
}

func (m *movingRegistry) Reach(t event.Target) (targets, connected int, unknown string) {
	targets, _, unknown = m.Registry.Reach(t)
	return targets, int(m.asked.Add(1)), unknown
}

func moving(c *Config, _ *limits) { c.Registry = &movingRegistry{Registry: c.Registry} }

// clock controls the time of a server.
func clock(at *atomic.Int64) func(*Config, *limits) {
	return func(c *Config, _ *limits) { c.Now = func() time.Time { return time.Unix(at.Load(), 0) } }
}

const anonymous = `{"all":true,"type":"t"}` // each publish makes another correlation id

func TestRepeatedPublishIsAnsweredTheSame(t *testing.T) {
	tests := []struct {
		name  string
		again string // its body
		then  func(r *rig, now *atomic.Int64)
	}{
		{"at once", anonymous, func(*rig, *atomic.Int64) {}},
		{"nearly two minutes later", anonymous, func(_ *rig, now *atomic.Int64) { now.Add(119) }},
		{"when the node drains", anonymous, func(r *rig, _ *atomic.Int64) { r.gate.close() }},
		{"when the log is unreachable", anonymous, func(r *rig, _ *atomic.Int64) { r.log.fail = errors.New("disk full") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := new(atomic.Int64)
			now.Store(5000)
			r := start(t, moving, clock(now))
			first := r.publishAs("k", anonymous)
			tt.then(r, now)
			if again := r.publishAs("k", tt.again); again.status != 202 || again.body != first.body {
				t.Errorf("first  %s\nthen %d %s", first.body, again.status, again.body)
			}
			if r.log.asked != 1 || len(r.log.events()) != 1 {
				t.Errorf("the log was asked %d times and has %d events", r.log.asked, len(r.log.events()))
			}
			if n, missed := r.published(), len(r.reportedMissed()); n != "1" || missed != 1 {
				t.Errorf("%s are counted, and %d times missed", n, missed)
			}
		})
	}
}

// What the node does not remember is in the log.
func TestRepeatedPublishAfterRestart(t *testing.T) {
	var now atomic.Int64
	now.Store(5000)
	r := start(t, moving, clock(&now))
	first := r.publishAs("k", anonymous)
	r.receipts.byKey, r.receipts.queue = nil, nil
	now.Add(60)
	for range 2 { // moving would say that more are connected now
		if again := r.publishAs("k", anonymous); again.status != 202 || again.body != first.body {
			t.Errorf("first  %s\nthen %d %s", first.body, again.status, again.body)
		}
	}
	if r.log.asked != 2 || len(r.log.events()) != 1 || r.published() != "1" || len(r.reportedMissed()) != 1 {
		t.Errorf("the log was asked %d times and has %d events; %s are counted", r.log.asked, len(r.log.events()), r.published())
	}
}

func TestKeysAreForgottenAfterTwoMinutes(t *testing.T) {
	var now atomic.Int64
	r := start(t, clock(&now))
	for i := range 3 {
		r.publishAs(fmt.Sprint(i), good)
		now.Add(50)
	}
	r.publishAs("2", good) // this is known
	if r.log.asked != 3 {
		t.Errorf("the log was asked %d times", r.log.asked)
	}
	r.publishAs("0", good)
	if r.log.asked != 4 || len(r.receipts.queue) != 3 || len(r.receipts.byKey) != 3 {
		t.Errorf("the log was asked %d times, and %d keys are known", r.log.asked, len(r.receipts.queue))
	}
}

func TestFailedPublishCanBeRepeated(t *testing.T) {
	tests := []struct {
		name   string
		first  string
		begin  func(*fakeLog)
		status int
		id     string // of the repeat
	}{
		{"it cannot stand", `{"all":true,"type":"-"}`, func(*fakeLog) {}, 422, "10-1"},
		{"its gateway is unknown", `{"gatewayId":"nobody","type":"t"}`, func(*fakeLog) {}, 404, "10-1"},
		{"the log took nothing", good, func(l *fakeLog) { l.fail = errors.New("disk full") }, 503, "10-1"},
		{"the log took it and did not say so", good, func(l *fakeLog) { l.unconfirmed = errors.New("no answer") }, 503, "10-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			tt.begin(r.log)
			if got := r.publishAs("k", tt.first); got.status != tt.status {
				t.Errorf("%d %s", got.status, got.body)
			}
			r.log.fail, r.log.unconfirmed = nil, nil
			for range 2 {
				if got := r.publishAs("k", good); got.status != 202 || !strings.HasPrefix(got.body, `{"id":"`+tt.id+`","correlationId":"c"`) {
					t.Errorf("then %d %s", got.status, got.body)
				}
			}
			if n := len(r.log.events()); n != 1 {
				t.Errorf("%d events are in the log", n)
			}
		})
	}
}

func TestRepeatOfUnreadableEvent(t *testing.T) {
	tests := []struct {
		name   string
		fail   error
		status int
		want   string
	}{
		{"it has left the log", ErrNotRetained, 202, `{"id":"10-1","correlationId":"c",` + at + `,"targets":1,"connected":1}`},
		{"the log is unreachable", errors.New("no quorum"), 503,
			`{"error":"unavailable","message":"the event log did not confirm the event; publish it again: cannot read event 10-1, which has the same idempotency key: no quorum"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.publishAs("k", good)
			r.receipts.byKey = nil
			r.log.failRead = tt.fail
			if got := r.publishAs("k", good); got.status != tt.status || got.body != tt.want {
				t.Errorf("got  %d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

// All appends are in progress before the log confirms any.
func TestConcurrentPublishesWithOneKey(t *testing.T) {
	const n = 20
	tests := []struct {
		name   string
		before func(*rig)
	}{
		{"the first is among them", func(*rig) {}},
		{"the first came before a restart", func(r *rig) {
			r.publishAs("k", anonymous)
			r.receipts.byKey = nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, moving)
			tt.before(r)
			r.log.close()
			answers := make(chan reply, n)
			for range n {
				req := r.request("POST", prefix+"/events", strings.NewReader(anonymous))
				req.Header.Set(headerIdempotencyKey, "k")
				go func() {
					got, _ := r.try(req)
					answers <- got
				}()
			}
			for range n {
				<-r.log.blocked
			}
			r.log.open()
			first := <-answers
			for range n - 1 {
				if got := <-answers; got.status != 202 || got.body != first.body {
					t.Errorf("%s\nand %d %s", first.body, got.status, got.body)
				}
			}
			if len(r.log.events()) != 1 || len(r.reportedMissed()) != 1 || r.published() != "1" {
				t.Errorf("%d events are in the log, %s are counted", len(r.log.events()), r.published())
			}
		})
	}
}

// A repeat that is answered before the first publish gets the same answer as that.
func TestRepeatBeforeFirstIsAnswered(t *testing.T) {
	r := start(t, moving)
	key := publishKey{caller: sha256.Sum256([]byte(adminToken)), key: "k"}
	first, err := r.submit([]byte(anonymous), key.single(), "")
	if err != nil {
		t.Fatal(err)
	}
	again := r.publishAs("k", anonymous)
	receipt, err := r.await(&first)
	if err != nil {
		t.Fatal(err)
	}
	if want := string(receipt.appendTo(nil)); again.body != want {
		t.Errorf("%s\nand %s", again.body, want)
	}
	if len(r.reportedMissed()) != 1 || r.published() != "1" {
		t.Errorf("%s events are counted", r.published())
	}
}

func TestBulkWithKeyCanBeRepeated(t *testing.T) {
	const text = anonymous + "\n\nbad\n" + anonymous + "\n" + `{"gatewayId":"g2","type":"t"}` + "\n"
	tests := []struct {
		name   string
		before func(*rig)
		logged int // events
	}{
		{"as a whole", func(*rig) {}, 3},
		{"after its beginning", func(r *rig) { r.bulkAs("k", text[:len(anonymous)+1]) }, 3},
		{"with another key", func(r *rig) { r.bulkAs("other", text) }, 6},
		{"after the node forgot", func(r *rig) {
			r.bulkAs("k", text)
			r.receipts.byKey = nil
		}, 3},
		{"beside a publish of the bare key", func(r *rig) { r.publishAs("k", anonymous) }, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, moving)
			tt.before(r)
			first, again := r.bulkAs("k", text), r.bulkAs("k", text)
			if len(first) != 4 || !slices.Equal(first, again) {
				t.Errorf("first %s\nthen  %s", strings.Join(first, "\n"), strings.Join(again, "\n"))
			}
			if got := parseAnswer(t, again[1]); got.Line != 3 || got.Error != codeBadRequest {
				t.Errorf("%+v", got)
			}
			if n := len(r.log.events()); n != tt.logged {
				t.Errorf("%d events are in the log, want %d", n, tt.logged)
			}
		})
	}
}

func TestConcurrentBulksWithOneKey(t *testing.T) {
	r := start(t, moving)
	text := strings.Repeat(anonymous+"\n", 1000)
	var answers [4][]string
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = r.bulkAs("k", text) })
	}
	wg.Wait()
	for _, a := range answers[1:] {
		if !slices.Equal(a, answers[0]) {
			t.Fatal("two bulk publishes with one key are answered differently")
		}
	}
	if n := len(r.log.events()); n != 1000 {
		t.Errorf("%d events are in the log", n)
	}
}

func TestReceiptsAreBounded(t *testing.T) {
	var kept receipts
	at := time.Unix(1000, 0)
	const n = maxReceipts + 100
	for i := range n {
		kept.add(keyedReceipt{key: fmt.Sprint(i), receipt: receipt{timestamp: at, targets: i}}, at)
	}
	if len(kept.byKey) != maxReceipts || len(kept.queue) != maxReceipts {
		t.Errorf("%d keys are known, and %d in the queue", len(kept.byKey), len(kept.queue))
	}
	if _, ok := kept.find("99", at); ok {
		t.Error("an old one is known")
	}
	if r, ok := kept.find("100", at.Add(receiptTTL-1)); !ok || r.targets != 100 {
		t.Errorf("a newer one is known as %+v, %v", r, ok)
	}
	if _, ok := kept.find("100", at.Add(receiptTTL)); ok {
		t.Error("it is known for longer than the log knows it")
	}
	kept.add(keyedReceipt{key: "x", receipt: receipt{timestamp: at}}, at.Add(receiptTTL))
	if len(kept.byKey) != 1 || len(kept.queue) != 1 {
		t.Errorf("%d keys are known after all but one are over", len(kept.byKey))
	}
}

// A key that was used again is not dropped together with its previous event.
func TestReceiptOfReusedKey(t *testing.T) {
	var kept receipts
	at := time.Unix(1000, 0)
	later := at.Add(receiptTTL)
	first := keyedReceipt{key: "k", receipt: receipt{id: event.Cursor{Seq: 1}, timestamp: at}}
	second := keyedReceipt{key: "k", receipt: receipt{id: event.Cursor{Seq: 2}, timestamp: later}}
	kept.add(first, at)
	if r := kept.add(second, at.Add(1)); r != second { // by another node's clock
		t.Errorf("it is %+v", r)
	}
	kept.add(keyedReceipt{key: "other", receipt: receipt{timestamp: later}}, later)
	if r, ok := kept.find("k", later); !ok || r != second {
		t.Errorf("it is %+v, %v", r, ok)
	}
	if r := kept.add(keyedReceipt{key: "k", receipt: receipt{id: second.id, targets: 7}}, later); r != second {
		t.Errorf("one event has two receipts: %+v", r)
	}
}

// forgets makes the node forget all keys, as a restart does. The log still knows them.
func forgets(r *rig) {
	r.receipts.mu.Lock()
	defer r.receipts.mu.Unlock()
	r.receipts.byKey, r.receipts.queue = nil, nil
}

func remembers(*rig) {}

// A repeat has the same bytes. Another body with the same key is refused.
func TestKeyWithAnotherBody(t *testing.T) {
	for _, again := range []string{
		`{"all":true,"type":"t","payload":1}`, `{"gatewayId":"g2","type":"other"}`, `{"all":true, "type":"t"}`, anonymous + "\n",
	} {
		for name, then := range map[string]func(*rig){"known": remembers, "forgotten": forgets} {
			t.Run(again+", "+name, func(t *testing.T) {
				r := start(t, moving)
				first := r.publishAs("k", anonymous)
				then(r)
				const want = `{"error":"invalid_event","message":"header Idempotency-Key: this key was used less than two minutes ago for event 10-1, which has another body; use a new key for each event","field":"Idempotency-Key"}`
				for range 2 {
					if got := r.publishAs("k", again); got.status != 422 || got.body != want {
						t.Errorf("%d %s", got.status, got.body)
					}
				}
				if got := r.publishAs("k", anonymous); got.status != 202 || got.body != first.body {
					t.Errorf("first %s\nthen %d %s", first.body, got.status, got.body)
				}
				if n := len(r.log.events()); n != 1 || r.published() != "1" {
					t.Errorf("%d events are in the log, and %s are counted", n, r.published())
				}
			})
		}
	}
}

// Of two concurrent publishes with one key and different bodies, exactly one is published.
func TestConcurrentBodiesWithOneKey(t *testing.T) {
	r := start(t)
	r.log.close()
	answers := make(chan reply, 2)
	for _, body := range []string{anonymous, `{"all":true,"type":"t","payload":2}`} {
		req := r.request("POST", prefix+"/events", strings.NewReader(body))
		req.Header.Set(headerIdempotencyKey, "k")
		go func() {
			got, _ := r.try(req)
			answers <- got
		}()
		<-r.log.blocked
	}
	r.log.open()
	statuses := []int{(<-answers).status, (<-answers).status}
	slices.Sort(statuses)
	if !slices.Equal(statuses, []int{202, 422}) || len(r.log.events()) != 1 {
		t.Errorf("answered %v, and %d events are in the log", statuses, len(r.log.events()))
	}
}

// Keys of different callers are different, and so are those of lines and of single publishes.
func TestKeysAreSeparate(t *testing.T) {
	with := func(r *rig, token, media, key, body string) string {
		req := r.request("POST", prefix+"/events", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", media)
		req.Header.Set(headerIdempotencyKey, key)
		return r.send(req).body
	}
	r := start(t)
	ids := make(map[string]string)
	for name, got := range map[string]string{
		"single":            with(r, adminToken, typeJSON, "K#1", good),
		"line":              with(r, adminToken, typeNDJSON, "K", good),
		"line of K#1":       with(r, adminToken, typeNDJSON, "K#1", good),
		"single K":          with(r, adminToken, typeJSON, "K", good),
		"another name":      with(r, "a-publisher", typeJSON, "K#1", good),
		"another token":     with(r, "another-admin-token", typeJSON, "K#1", good),
		"line of another's": with(r, "a-publisher", typeNDJSON, "K", good),
		"upper case":        with(r, adminToken, typeJSON, "k#1", good),
	} {
		id := got[:strings.Index(got, ",")]
		if other, taken := ids[id]; taken || !strings.HasPrefix(got, `{"id":"10-`) {
			t.Errorf("%s is answered as %s: %s", name, other, got)
		}
		ids[id] = name
	}
	for range 2 {
		if again := with(r, "a-publisher", typeJSON, "K#1", good); ids[again[:strings.Index(again, ",")]] != "another name" {
			t.Errorf("the repeat is answered %s", again)
		}
	}
}

// A line whose key was used for another line is refused; the other lines get their receipts.
func TestBulkWithAnotherLine(t *testing.T) {
	for name, then := range map[string]func(*rig){"known": remembers, "forgotten": forgets} {
		t.Run(name, func(t *testing.T) {
			r := start(t, moving)
			const other = `{"all":true,"type":"t","payload":"other"}`
			first := r.bulkAs("k", strings.Repeat(anonymous+"\n", 3))
			then(r)
			again := r.bulkAs("k", anonymous+"\n"+other+"\n"+anonymous+"\n")
			if again[0] != first[0] || again[2] != first[2] {
				t.Errorf("first %q\nthen  %q", first, again)
			}
			if got := parseAnswer(t, again[1]); got.Line != 2 || got.Error != codeInvalidEvent {
				t.Errorf("%+v", got)
			}
			if n := len(r.log.events()); n != 3 {
				t.Errorf("%d events are in the log", n)
			}
		})
	}
}

// The text that the log stores fits its limit and can be decoded.
func TestLoggedReceipt(t *testing.T) {
	digest := digestOf([]byte("x"))
	for _, r := range []receipt{{}, {targets: 1}, {targets: 1000, connected: 1000}, {targets: 1e9, connected: 1e9}} {
		text := r.encodeLogged(digest)
		var k keyedReceipt
		if err := k.decodeLogged(text); err != nil || k.receipt != r || k.digest != digest || len(text) > event.MaxReceiptLen {
			t.Errorf("%q came back as %+v, %v", text, k, err)
		}
	}
	for _, text := range []string{"", "1", "1 1", "1 2 " + digest, "-1 -2 " + digest, "1 -1 " + digest, "1 1 x", "1 1 " + digest + " ", "1  1 " + digest, "a b " + digest} {
		if k := (keyedReceipt{}); k.decodeLogged(text) == nil || k != (keyedReceipt{}) {
			t.Errorf("%q is read as %+v", text, k)
		}
	}
}

// For an event stored by a version without receipts, the answer is made from the event.
func TestRepeatOfEventWithoutReceipt(t *testing.T) {
	r := start(t)
	first := r.publishAs("k", good)
	forgets(r)
	r.log.taken[0].Receipt = ""
	if again := r.publishAs("k", good); again.body != first.body {
		t.Errorf("first %s\nthen  %s", first.body, again.body)
	}
}

// After the log went back, the receipt of an event that it no longer has is not returned.
func TestRepeatOfLostEvent(t *testing.T) {
	r := start(t)
	r.publishAs("k", good)
	r.publishAs("l", good)
	r.log.mu.Lock()
	r.log.taken, r.log.lost = r.log.taken[:1], 1
	delete(r.log.byKey, publishKey{caller: sha256.Sum256([]byte(adminToken)), key: "l"}.single())
	r.log.mu.Unlock()
	if got := r.publishAs("k", good); !strings.HasPrefix(got.body, `{"id":"10-1"`) || len(r.log.events()) != 1 {
		t.Errorf("one that is there: %s", got.body)
	}
	if got := r.publishAs("l", good); got.status != 202 || len(r.log.events()) != 2 {
		t.Errorf("one that is lost: %d %s, %d events", got.status, got.body, len(r.log.events()))
	}
}
