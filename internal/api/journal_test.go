// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDeliveries(t *testing.T) {
	day := func(h int) time.Time { return time.Date(2027, 1, 31, h, 0, 0, 0, time.UTC) }
	tests := []struct {
		name, query string
		want        string
		asked       FailureQuery
	}{
		{"all of them", "", `{"deliveries":[#0,#1,#2]}`, FailureQuery{Limit: 100}},
		{"those that failed", "?status=failed", `{"deliveries":[#0,#1,#2]}`, FailureQuery{Limit: 100}},
		{"the first", "?limit=2", `{"deliveries":[#0,#1],"cursor":"f-2"}`, FailureQuery{Limit: 2}},
		{"the next", "?limit=2&cursor=f-2", `{"deliveries":[#2]}`, FailureQuery{After: "f-2", Limit: 2}},
		{"just as many as there are", "?limit=3", `{"deliveries":[#0,#1,#2]}`, FailureQuery{Limit: 3}},
		{"none", "?cursor=f-3", `{"deliveries":[]}`, FailureQuery{After: "f-3", Limit: 100}},
		{"of a gateway", "?gatewayId=g1", ``, FailureQuery{GatewayID: "g1", Limit: 100}},
		{"of a gateway that is gone", "?gatewayId=gone", ``, FailureQuery{GatewayID: "gone", Limit: 100}},
		{"of some time", "?from=2027-01-31T10:00:00Z&to=2027-01-31T13:00:00%2B01:00", ``, FailureQuery{From: day(10), To: day(12), Limit: 100}},
		{"of an instant", "?from=2027-01-31T10:00:00.000000000Z&to=2027-01-31T10:00:00Z", ``, FailureQuery{From: day(10), To: day(10), Limit: 100}},
		{"until a time", "?to=2027-01-31T10:00:00Z", ``, FailureQuery{To: day(10), Limit: 100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.failures.add(3)
			got := r.do("GET", prefix+"/deliveries"+tt.query, "")
			tt.want = r.failures.inFull(tt.want)
			if got.status != 200 || tt.want != "" && got.body != tt.want || got.header.Get("Content-Type") != typeJSON {
				t.Errorf("got  %d %s\nwant %s", got.status, got.body, tt.want)
			}
			q := r.failures.last
			if !q.From.Equal(tt.asked.From) || !q.To.Equal(tt.asked.To) {
				t.Errorf("from %v to %v", q.From, q.To)
			}
			q.From, q.To = tt.asked.From, tt.asked.To
			if q != tt.asked {
				t.Errorf("the list was asked for %+v, want %+v", q, tt.asked)
			}
		})
	}
}

func TestDeliveriesErrors(t *testing.T) {
	tests := []struct {
		name, query string
		fail        error
		status      int
		want        string
	}{
		{"limit 0", "?limit=0", nil, 400, `"field":"limit"`},
		{"limit 1001", "?limit=1001", nil, 400, `"field":"limit"`},
		{"not a gateway's id", "?gatewayId=a%20b", nil, 400, `"field":"gatewayId"`},
		{"another status", "?status=delivered", nil, 400,
			`{"error":"bad_request","message":"parameter status: want failed; for other deliveries see the counts of an event, GET /events/{id}","field":"status"}`},
		{"an empty status", "?status=", nil, 400, `"field":"status"`},
		{"from no time", "?from=yesterday", nil, 400,
			`{"error":"bad_request","message":"parameter from: want a time of RFC 3339, as in 2027-01-31T12:00:00Z","field":"from"}`},
		{"from nothing", "?from=", nil, 400, `"field":"from"`},
		{"from a time without a zone", "?from=2027-01-31T12:00:00", nil, 400, `"field":"from"`},
		{"to no time", "?to=1", nil, 400, `"field":"to"`},
		{"to a time before from", "?from=2027-01-31T12:00:00Z&to=2027-01-31T11:59:59Z", nil, 400,
			`{"error":"bad_request","message":"parameter to: is before the parameter from","field":"to"}`},
		{"a foreign cursor", "?cursor=x", nil, 400, `"message":"parameter cursor: \"x\" is not a cursor of this list","field":"cursor"`},
		{"the log is unreachable", "", errors.New("no quorum"), 503, `{"error":"unavailable","message":"cannot read the event log: no quorum"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.failures.fail = tt.fail
			if got := r.do("GET", prefix+"/deliveries"+tt.query, ""); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("got  %d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	tests := []struct {
		name, query string
		want        string
		waits       []time.Duration
	}{
		{"all of them", "", `{"messages":[#0,#1,#2],"cursor":"m-3"}`, nil},
		{"the first", "?limit=2", `{"messages":[#0,#1],"cursor":"m-2"}`, nil},
		{"the next", "?limit=2&after=m-2", `{"messages":[#2],"cursor":"m-3"}`, nil},
		{"none", "?after=m-3", `{"messages":[],"cursor":"m-3"}`, nil},
		{"without need to wait", "?after=m-2&wait=60", `{"messages":[#2],"cursor":"m-3"}`, nil},
		{"none in some seconds", "?after=m-3&wait=7", `{"messages":[],"cursor":"m-3"}`, []time.Duration{7 * time.Second}},
		{"none in a time", "?after=m-3&wait=1500ms", `{"messages":[],"cursor":"m-3"}`, []time.Duration{1500 * time.Millisecond}},
		{"none in the longest time", "?after=m-3&wait=1m0s", `{"messages":[],"cursor":"m-3"}`, []time.Duration{time.Minute}},
		{"of a type", "?type=event.ack", `{"messages":[#0,#2],"cursor":"m-3"}`, nil},
		{"of a type, after others", "?type=deployment.ack&limit=1", `{"messages":[#1],"cursor":"m-2"}`, nil},
		{"of a type that there is not", "?type=deployment.ack&after=m-2&limit=1", `{"messages":[],"cursor":"m-3"}`, nil},
		{"none, and no wait", "?after=m-3&wait=0", `{"messages":[],"cursor":"m-3"}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.messages.add(3)
			got := r.do("GET", prefix+"/messages"+tt.query, "")
			tt.want = r.messages.inFull(tt.want)
			if got.status != 200 || got.body != tt.want || got.header.Get("Content-Type") != typeJSON {
				t.Errorf("got  %d %s\nwant %s", got.status, got.body, tt.want)
			}
			if !slices.Equal(r.messages.waits, tt.waits) {
				t.Errorf("waited for %v, want %v", r.messages.waits, tt.waits)
			}
		})
	}
}

func TestMessagesErrors(t *testing.T) {
	const wait = `"message":"parameter wait: want seconds or a duration such as 500ms or 1m, at most one minute","field":"wait"`
	tests := []struct {
		name, query string
		fail        error
		status      int
		want        string
	}{
		{"limit 0", "?limit=0", nil, 400, `"field":"limit"`},
		{"limit 1001", "?limit=1001", nil, 400, `"field":"limit"`},
		{"not a type", "?type=", nil, 400, `"field":"type"`},
		{"61 seconds", "?wait=61", nil, 400, wait},
		{"over a minute", "?wait=1m1ns", nil, 400, wait},
		{"very many seconds", "?wait=18446744073709551615", nil, 400, wait},
		{"before now", "?wait=-1", nil, 400, wait},
		{"before now, in words", "?wait=-1s", nil, 400, wait},
		{"no number", "?wait=long", nil, 400, wait},
		{"nothing", "?wait=", nil, 400, wait},
		{"a foreign cursor", "?after=x", nil, 400, `"message":"parameter after: \"x\" is not a cursor of this list","field":"after"`},
		{"the log is unreachable", "?wait=60", errors.New("no quorum"), 503, `{"error":"unavailable","message":"cannot read the event log: no quorum"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.messages.fail = tt.fail
			if got := r.do("GET", prefix+"/messages"+tt.query, ""); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("got  %d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

// waiter is a request that waits for messages.
func (r *rig) waiter() <-chan outcome {
	r.messages.mu.Lock()
	r.messages.arrived, r.messages.waiting = make(chan struct{}), make(chan struct{}, 1)
	r.messages.mu.Unlock()
	req := r.request("GET", prefix+"/messages?after=m-0&wait=60", nil)
	done := make(chan outcome, 1)
	go func() {
		got, err := r.try(req)
		done <- outcome{got, err}
	}()
	<-r.messages.waiting
	return done
}

// It can wait for longer than the write timeout.
func TestMessagesLongPoll(t *testing.T) {
	const write = 50 * time.Millisecond
	r := start(t, func(_ *Config, l *limits) { l.write, l.query = write, write })
	done := r.waiter()
	<-time.After(3 * write)
	r.messages.add(1)
	close(r.messages.arrived)
	if got, want := <-done, r.messages.inFull(`{"messages":[#0],"cursor":"m-1"}`); got.err != nil || got.status != 200 || got.body != want {
		t.Errorf("%d %s, %v; want %s", got.status, got.body, got.err, want)
	}
}

func TestShutdownEndsLongPolls(t *testing.T) {
	r := start(t)
	done := r.waiter()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if got, want := <-done, `{"messages":[],"cursor":"m-0"}`; got.err != nil || got.status != 200 || got.body != want {
		t.Errorf("%d %s, %v; want %s", got.status, got.body, got.err, want)
	}
}

// StopPublishing waits for publishes, not for long polls.
func TestStopPublishingIgnoresLongPolls(t *testing.T) {
	r := start(t)
	done := r.waiter()
	if err := r.StopPublishing(t.Context()); err != nil {
		t.Error(err)
	}
	r.messages.add(1)
	close(r.messages.arrived)
	if got := <-done; !json.Valid([]byte(got.body)) || !strings.Contains(got.body, messageText(0)) {
		t.Errorf("%d %s, %v", got.status, got.body, got.err)
	}
}
