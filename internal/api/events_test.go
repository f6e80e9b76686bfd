// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// names returns n ids.
func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("gateway-%d", i))
	}
	return list
}

func TestDeliveryStatus(t *testing.T) {
	const head = `{"id":"10-1","type":"t",` + at + `,"correlationId":"c",`
	tests := []struct {
		name string
		of   DeliveryStatus
		want string
	}{
		{"nothing yet", DeliveryStatus{Targets: 1, Pending: 1, PendingGateways: []string{"g1"}},
			head + `"targets":1,"delivered":0,"acked":0,"failed":0,"pending":1,"failedGateways":[],"pendingGateways":["g1"],"truncated":false}`},
		{"a group without members", DeliveryStatus{},
			head + `"targets":0,"delivered":0,"acked":0,"failed":0,"pending":0,"failedGateways":[],"pendingGateways":[],"truncated":false}`},
		{"some of each", DeliveryStatus{Targets: 7, Delivered: 5, Acked: 2, Failed: 1, Pending: 2, FailedGateways: []string{"f"}, PendingGateways: []string{"p", "q"}},
			head + `"targets":7,"delivered":5,"acked":2,"failed":1,"pending":2,"failedGateways":["f"],"pendingGateways":["p","q"],"truncated":false}`},
		{"not all are named", DeliveryStatus{Targets: 5, Pending: 3, PendingGateways: []string{"p", "q"}},
			head + `"targets":5,"delivered":0,"acked":0,"failed":0,"pending":3,"failedGateways":[],"pendingGateways":["p","q"],"truncated":true}`},
		{"not all that failed are named", DeliveryStatus{Targets: 5, Delivered: 2, Failed: 2, FailedGateways: []string{"f"}},
			head + `"targets":5,"delivered":2,"acked":0,"failed":2,"pending":0,"failedGateways":["f"],"pendingGateways":[],"truncated":true}`},
		{"a node does not answer", DeliveryStatus{Targets: 1, Delivered: 1, NotAnswered: []string{"n2", "n3"}},
			head + `"targets":1,"delivered":1,"acked":0,"failed":0,"pending":0,"failedGateways":[],"pendingGateways":[],"truncated":false,"notAnswered":["n2","n3"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.do("POST", prefix+"/events", good)
			r.log.outcomes = map[uint64]DeliveryStatus{1: tt.of}
			if got := r.do("GET", prefix+"/events/10-1", ""); got.status != 200 || got.body != tt.want || got.header.Get("Content-Type") != typeJSON {
				t.Errorf("got  %d %s\nwant %s", got.status, got.body, tt.want)
			}
		})
	}
}

func TestDeliveryStatusIsTruncated(t *testing.T) {
	for _, tt := range []struct {
		n, want   int
		truncated bool
	}{{MaxListed, MaxListed, false}, {MaxListed + 1, MaxListed, true}} {
		r := start(t)
		r.do("POST", prefix+"/events", good)
		r.log.outcomes = map[uint64]DeliveryStatus{1: {Failed: tt.n, FailedGateways: names(tt.n), Pending: tt.n, PendingGateways: names(tt.n)}}
		var got struct {
			FailedGateways, PendingGateways []string
			Truncated                       bool
		}
		if err := json.Unmarshal([]byte(r.do("GET", prefix+"/events/10-1", "").body), &got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.FailedGateways, names(tt.want)) || !slices.Equal(got.PendingGateways, names(tt.want)) || got.Truncated != tt.truncated {
			t.Errorf("of %d gateways %d and %d are named, truncated %v", tt.n, len(got.FailedGateways), len(got.PendingGateways), got.Truncated)
		}
	}
}

func TestDeliveryStatusErrors(t *testing.T) {
	gone := func(id string) string {
		return `{"error":"not_found","message":"event ` + id + ` does not exist or is no longer retained"}`
	}
	bad := `{"error":"bad_request","message":"id: not an event id: want EPOCH-SEQUENCE, as in k3f9-1042","field":"id"}`
	tests := []struct {
		name, id string
		begin    func(*fakeLog)
		status   int
		want     string
	}{
		{"not an id", "x", nil, 400, bad},
		{"another spelling", "10-01", nil, 400, bad},
		{"an escape", "10%2d1", nil, 400, bad},
		{"unknown", "10-2", nil, 404, gone("10-2")},
		{"before the first", "10-0", nil, 404, gone("10-0")},
		{"of another epoch", "11-1", nil, 404, gone("11-1")},
		{"its status is not known any more", "10-1", func(l *fakeLog) { l.outcomes = map[uint64]DeliveryStatus{} }, 404, gone("10-1")},
		{"the log is unreachable", "10-1", func(l *fakeLog) { l.failRead = errors.New("no quorum") }, 503,
			`{"error":"unavailable","message":"cannot read the event log: no quorum"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.do("POST", prefix+"/events", good)
			if tt.begin != nil {
				tt.begin(r.log)
			}
			if got := r.do("GET", prefix+"/events/"+tt.id, ""); got.status != tt.status || got.body != tt.want {
				t.Errorf("got  %d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

// What GET /events answers, as a client reads it.
type eventsReply struct {
	Events []struct{ ID, Type string }
	Cursor string
}

func (r *rig) list(query string) (got eventsReply) {
	r.t.Helper()
	reply := r.do("GET", prefix+"/events"+query, "")
	if err := json.Unmarshal([]byte(reply.body), &got); err != nil || reply.status != 200 {
		r.t.Fatalf("%s: %d %s, %v", query, reply.status, reply.body, err)
	}
	return got
}

func TestEventsAsOneText(t *testing.T) {
	r := start(t)
	for _, e := range []string{
		`{"gatewayId":"g1","type":"t","correlationId":"c","payload":{"a":"<ü>"},"key":"api/7"}`,
		`{"gatewayIds":["g1","g2"],"type":"t","correlationId":"c"}`,
		`{"gatewayIds":["g3"],"type":"t","correlationId":"c"}`,
		`{"group":"all-of-them","type":"t","correlationId":"c","key":"\"k\""}`,
		`{"all":true,"type":"t","correlationId":"c"}`,
		`{"organizationId":"acme","type":"t","payload":{"a":1},"correlationId":"c","key":"k","fields":{"userId": "u", "organizationId":{"x":[]},"group":null}}`,
	} {
		if got := r.do("POST", prefix+"/events", e); got.status != 202 {
			t.Fatal(got.body)
		}
	}
	const end = at + `,"correlationId":"c"`
	const want = `{"events":[` +
		`{"id":"10-1","type":"t","payload":{"a":"<ü>"},"gatewayId":"g1",` + end + `,"key":"api/7"},` +
		`{"id":"10-2","type":"t","payload":null,` + end + `,"gatewayIds":["g1","g2"]},` +
		`{"id":"10-3","type":"t","payload":null,"gatewayId":"g3",` + end + `},` +
		`{"id":"10-4","type":"t","payload":null,` + end + `,"group":"all-of-them","key":"\"k\""},` +
		`{"id":"10-5","type":"t","payload":null,` + end + `,"all":true},` +
		`{"id":"10-6","type":"t","payload":{"a":1},` + end + `,"fields":{"userId":"u","organizationId":{"x":[]},"group":null},"organizationId":"acme","key":"k"}` +
		`],"cursor":"10-6"}`
	got := r.do("GET", prefix+"/events", "")
	if got.status != 200 || got.body != want || got.header.Get("Content-Type") != typeJSON {
		t.Errorf("got  %d %s\nwant %s", got.status, got.body, want)
	}
}

func TestEventsLists(t *testing.T) {
	tests := []struct {
		name, query string
		want        string // sequences
		cursor      string
	}{
		{"all of them", "", "1 2 3 4 5 6", "10-6"},
		{"for a gateway", "?gatewayId=g2", "2 3 4 6", "10-6"},
		{"of a type", "?type=b", "2 4", "10-6"},
		{"of a type that was not published", "?type=c", "", "10-6"},
		{"for a gateway and of a type", "?gatewayId=g1&type=a", "1 3 5 6", "10-6"},
		{"the first", "?limit=2", "1 2", "10-2"},
		{"the next", "?limit=2&since=10-2", "3 4", "10-4"},
		{"the next for a gateway", "?limit=1&gatewayId=g2&since=10-4", "6", "10-6"},
		{"just as many as there are", "?limit=6", "1 2 3 4 5 6", "10-6"},
		{"from before the first", "?since=10-0&limit=1", "1", "10-1"},
		{"after the newest", "?since=10-6", "", "10-6"},
		{"after a future event", "?since=10-99", "", "10-99"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			for _, e := range []string{
				`{"gatewayId":"g1","type":"a"}`, `{"gatewayId":"g2","type":"b"}`, `{"gatewayIds":["g1","g2"],"type":"a"}`,
				`{"group":"all-of-them","type":"b"}`, `{"gatewayIds":["g1","g3"],"type":"a"}`, `{"all":true,"type":"a"}`,
			} {
				r.do("POST", prefix+"/events", e)
			}
			got := r.list(tt.query)
			var seqs []string
			for _, e := range got.Events {
				seqs = append(seqs, strings.TrimPrefix(e.ID, "10-"))
			}
			if s := strings.Join(seqs, " "); s != tt.want || got.Cursor != tt.cursor {
				t.Errorf("%q up to %s, want %q up to %s", s, got.Cursor, tt.want, tt.cursor)
			}
		})
	}
}

func TestEventsOfAnEmptyLog(t *testing.T) {
	if got, want := start(t).do("GET", prefix+"/events", "").body, `{"events":[],"cursor":"10-0"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The pages together have every event once, whatever the limit, and at most one page is in memory.
func TestEventsPages(t *testing.T) {
	const n = 1234
	r := start(t)
	r.bulk(strings.NewReader(strings.Repeat(good+"\n", n)))
	for _, limit := range []int{0, 1000, 99, 100, 101, 617} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			want := 100 // by default
			query := "?"
			if limit > 0 {
				want, query = limit, fmt.Sprintf("?limit=%d&", limit)
			}
			seen, since := 0, "10-0"
			for {
				got := r.list(query + "since=" + since)
				if len(got.Events) == 0 {
					break
				}
				if len(got.Events) != min(want, n-seen) {
					t.Fatalf("%d events after %s", len(got.Events), since)
				}
				for _, e := range got.Events {
					if seen++; e.ID != fmt.Sprintf("10-%d", seen) {
						t.Fatalf("%s is number %d", e.ID, seen)
					}
				}
				since = got.Cursor
			}
			if seen != n || r.log.mostListed > queryPage {
				t.Errorf("%d events, %d of them at once", seen, r.log.mostListed)
			}
		})
	}
}

// A rare event is found after any number of pages without it.
func TestEventsRare(t *testing.T) {
	r := start(t)
	rare := strings.Replace(good, `"type":"`, `"type":"rare.`, 1)
	r.bulk(strings.NewReader(strings.Repeat(strings.Repeat(good+"\n", 99)+rare+"\n", 3)))
	kind := strings.Split(strings.SplitN(rare, `"type":"`, 2)[1], `"`)[0]
	r.log.looksAt = 40
	for _, tt := range []struct {
		limit, want int
		cursor      string
	}{{10, 3, "10-300"}, {2, 2, "10-200"}} {
		got := r.list(fmt.Sprintf("?type=%s&limit=%d", kind, tt.limit))
		if len(got.Events) != tt.want || got.Cursor != tt.cursor {
			t.Errorf("limit %d: %d events and cursor %s", tt.limit, len(got.Events), got.Cursor)
		}
	}
}

func TestEventsErrors(t *testing.T) {
	tests := []struct {
		name, query string
		status      int
		want        string
	}{
		{"limit 0", "?limit=0", 400, `"field":"limit"`},
		{"limit 1001", "?limit=1001", 400, `"field":"limit"`},
		{"not a gateway's id", "?gatewayId=a%20b", 400, `"field":"gatewayId"`},
		{"an empty id", "?gatewayId=", 400, `"field":"gatewayId"`},
		{"an unknown gateway", "?gatewayId=nobody", 404, `{"error":"not_found","message":"gateway nobody is not registered"}`},
		{"not a type", "?type=a%20b", 400, `"message":"parameter type: want an event type such as api.deployed","field":"type"`},
		{"an empty type", "?type=", 400, `"field":"type"`},
		{"not a cursor", "?since=x", 400, `"message":"parameter since: not an event id: want EPOCH-SEQUENCE, as in k3f9-1042","field":"since"`},
		{"an empty cursor", "?since=", 400, `"field":"since"`},
		{"a cursor of another epoch", "?since=11-1", 400,
			`"message":"parameter since: is not in the log's history: the log was replaced or has lost its newest events; leave it out to start at the oldest event","field":"since"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := start(t).do("GET", prefix+"/events"+tt.query, ""); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("%d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

func TestEventsLogUnreachable(t *testing.T) {
	r := start(t)
	r.log.failRead = errors.New("no quorum")
	got := r.do("GET", prefix+"/events", "")
	if want := `{"error":"unavailable","message":"cannot read the event log: no quorum"}`; got.status != 503 || got.body != want || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
}

// A list that cannot be completed must not look complete.
func TestEventsErrorCutsConnection(t *testing.T) {
	r := start(t)
	r.bulk(strings.NewReader(strings.Repeat(good+"\n", 500)))
	r.log.failReadAt = 300
	resp, err := r.client.Do(r.request("GET", prefix+"/events?limit=1000", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer looks complete after %d bytes", len(b))
	}
	if !strings.Contains(r.logs.String(), "no quorum") {
		t.Error("it is not logged")
	}
}

// A page of long events ends at a number of bytes, and few events are in memory.
func TestEventsLong(t *testing.T) {
	const n, size = 20, 1 << 20
	r := start(t, func(c *Config, _ *limits) { c.MaxPayload = 2 * size })
	line := `{"gatewayId":"g1","type":"t","payload":"` + strings.Repeat("x", size) + `"}` + "\n"
	if got := r.bulk(strings.NewReader(strings.Repeat(line, n))); len(got) != n {
		t.Fatalf("%d receipts", len(got))
	}
	since, seen := "", 0
	for pages := 1; seen < n; pages++ {
		got := r.do("GET", prefix+"/events?limit=1000"+since, "")
		var page struct {
			Events []struct{ ID string }
			Cursor string
		}
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			t.Fatalf("%d %.200s: %v", got.status, got.body, err)
		}
		if len(got.body) > answerBytes+2*size || len(page.Events) == 0 {
			t.Fatalf("page %d has %d events and %d bytes", pages, len(page.Events), len(got.body))
		}
		for _, e := range page.Events {
			if seen++; e.ID != fmt.Sprintf("10-%d", seen) {
				t.Fatalf("%s comes after %d events", e.ID, seen-1)
			}
		}
		if page.Cursor != fmt.Sprintf("10-%d", seen) {
			t.Errorf("page %d ends at %d, and its cursor is %s", pages, seen, page.Cursor)
		}
		since = "&since=" + page.Cursor
	}
	if r.log.mostBytes > pageBytes {
		t.Errorf("%d bytes were held at once", r.log.mostBytes)
	}
}
