// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/stats/metrics"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

const (
	parentTrace   = "0af7651916cd43dd8448eb211c80319c"
	parentSpan    = "b7ad6b7169203331"
	sampledParent = "00-" + parentTrace + "-" + parentSpan + "-01"
	quietParent   = "00-" + parentTrace + "-" + parentSpan + "-00"
)

// A span is one as a collector gets it.
type span struct {
	name, trace, id, parent string
	node                    string
	failed                  bool
	begin, end              uint64
	attrs                   map[string]string
}

// A fakeCollector takes spans over HTTP.
type fakeCollector struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex
	spans []span
	raw   []byte // everything that was sent
}

func startCollector(t *testing.T) *fakeCollector {
	c := &fakeCollector{t: t}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

func (c *fakeCollector) take(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(b, &request) != nil {
		c.t.Errorf("%s %s: %d bytes, %v", r.Method, r.URL, len(b), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, b...)
	for _, resource := range request.ResourceSpans {
		about := map[string]string{}
		for _, a := range resource.Resource.Attributes {
			about[a.Key] = a.Value.GetStringValue()
		}
		if about["service.name"] != "gatecast" {
			c.t.Errorf("spans of %v", about)
		}
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				got := span{
					name: s.Name, trace: hex.EncodeToString(s.TraceId), id: hex.EncodeToString(s.SpanId), parent: hex.EncodeToString(s.ParentSpanId),
					node: about["service.instance.id"], failed: s.Status.GetCode() == 2,
					begin: s.StartTimeUnixNano, end: s.EndTimeUnixNano, attrs: map[string]string{},
				}
				for _, a := range s.Attributes {
					got.attrs[a.Key] = textOf(a.Value)
				}
				c.spans = append(c.spans, got)
			}
		}
	}
}

func textOf(v *commonpb.AnyValue) string {
	if _, ok := v.Value.(*commonpb.AnyValue_IntValue); ok {
		return fmt.Sprint(v.GetIntValue())
	}
	return v.GetStringValue()
}

// named returns the spans of a name, the oldest first.
func (c *fakeCollector) named(name string) (list []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.name == name {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b span) int { return int(int64(a.begin - b.begin)) })
	return list
}

func traced(t *testing.T, endpoint string) Config {
	cfg := config(t)
	cfg.OTLPEndpoint = endpoint
	cfg.NodeID = "n1"
	return cfg
}

// publishFrom publishes with a traceparent, lines if the body has several, and
// returns the answer.
func (s *system) publishFrom(parent, body string) string {
	s.t.Helper()
	req, err := http.NewRequest("POST", "http://"+s.InternalAddr().String()+root+"/events", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.admin)
	if strings.Contains(body, "\n") {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	if parent != "" {
		req.Header.Set("traceparent", parent)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(answer))
}

const event1 = `{"gatewayId":"edge","type":"api.deployed","payload":{"password":"very-secret"},"correlationId":"c"}`

// The three spans of a publish, and the gateway's frame, are of one trace.
func TestSpansOfAnEvent(t *testing.T) {
	c := startCollector(t)
	s := start(t, traced(t, c.URL+"/"))
	token, _ := s.gateway("edge")
	g := s.connect(token)
	if got := s.publishFrom(sampledParent, event1); !strings.HasPrefix(got, "202 ") {
		t.Fatal(got)
	}
	frame := g.next()
	g.CloseNow()
	s.drain()
	publish, appended, deliver := c.named("publish"), c.named("append"), c.named("deliver")
	if len(publish) != 1 || len(appended) != 1 || len(deliver) != 1 {
		t.Fatalf("got %d, %d, %d spans", len(publish), len(appended), len(deliver))
	}
	if p := publish[0]; p.trace != parentTrace || p.parent != parentSpan || frame["traceparent"] != "00-"+p.trace+"-"+p.id+"-01" {
		t.Errorf("publish is %+v, the frame %v", p, frame)
	}
	for _, s := range []span{appended[0], deliver[0]} {
		if s.trace != parentTrace || s.parent != publish[0].id {
			t.Errorf("%s is not below publish: %+v", s.name, s)
		}
	}
	for _, s := range []span{publish[0], appended[0], deliver[0]} {
		want := map[string]string{
			"gatecast.event.id": frame["id"].(string), "gatecast.event.type": "api.deployed",
			"gatecast.target.kind": "gateway", "gatecast.targets": "1",
		}
		for k, v := range want {
			if s.attrs[k] != v {
				t.Errorf("%s: %s = %q, want %q", s.name, k, s.attrs[k], v)
			}
		}
		if s.failed || s.node != "n1" || s.begin < publish[0].begin || s.end < s.begin {
			t.Errorf("%+v", s)
		}
	}
	for _, secret := range []string{"very-secret", token, s.admin} {
		if bytes.Contains(c.raw, []byte(secret)) {
			t.Errorf("the collector gets %q", secret)
		}
	}
}

// Whether a publish is traced, and which traceparent the gateway gets, by what the
// publisher sends.
func TestWhoIsTraced(t *testing.T) {
	for _, tt := range []struct {
		name, parent string
		sample       float64
		spans        int
		frame        string // the traceparent; "ours" for that of the publish span
	}{
		{"without a parent", "", 1, 1, "ours"},
		{"without a parent, none wanted", "", 0, 0, ""},
		{"an invalid one is none", "00-nonsense", 1, 1, "ours"},
		{"sampled, and nothing else wanted", sampledParent, 0, 1, "ours"},
		{"not sampled", quietParent, 1, 0, quietParent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startCollector(t)
			cfg := traced(t, c.URL)
			cfg.TraceSample = tt.sample
			s := start(t, cfg)
			token, _ := s.gateway("edge")
			g := s.connect(token)
			s.publishFrom(tt.parent, event1)
			got, _ := g.next()["traceparent"].(string)
			g.CloseNow()
			s.drain()
			if n := len(c.named("publish")); n != tt.spans || len(c.named("append")) != n || len(c.named("deliver")) != n {
				t.Fatalf("got %d, %d, %d spans", n, len(c.named("append")), len(c.named("deliver")))
			}
			want := tt.frame
			if want == "ours" {
				p := c.named("publish")[0]
				want = "00-" + p.trace + "-" + p.id + "-01"
				if below := p.parent != ""; below != (tt.parent == sampledParent) {
					t.Errorf("it is below %q", p.parent)
				}
			}
			if got != want {
				t.Errorf("the gateway gets %q, want %q", got, want)
			}
		})
	}
}

// Lines of a bulk publish have spans of their own, all below the request's.
func TestSpansOfLines(t *testing.T) {
	c := startCollector(t)
	s := start(t, traced(t, c.URL))
	s.gateway("edge")
	s.publishFrom(sampledParent, event1+"\n"+`{"type":"t"}`+"\n"+`{"all":true,"type":"b"}`+"\n"+`{"group":"g","type":"c"}`)
	s.drain()
	var kinds []string
	for _, p := range c.named("publish") {
		if p.trace != parentTrace || p.parent != parentSpan || p.failed != (p.attrs["error.type"] != "") {
			t.Errorf("%+v", p)
		}
		kinds = append(kinds, p.attrs["gatecast.target.kind"]+p.attrs["error.type"])
	}
	if want := []string{"gateway", "invalid_event", "all", "group"}; !slices.Equal(want, kinds) {
		t.Errorf("got %q, want %q", kinds, want)
	}
	if n := len(c.named("deliver")); n != 3 {
		t.Errorf("%d were delivered", n)
	}
}

// With tracing off the publisher's own traceparent goes through, to gateways that
// are there and to those that resume.
func TestTraceparentWithoutTracing(t *testing.T) {
	s := start(t, config(t))
	token, _ := s.gateway("edge")
	g := s.connect(token)
	cursor := g.ack["cursor"].(string)
	s.publishFrom(quietParent, event1+"\n"+event1)
	s.publishFrom("00-nonsense", event1)
	for _, r := range []*replica{g, s.resume(token, cursor)} {
		for i, want := range []any{quietParent, quietParent, nil} {
			if e := r.next(); e["traceparent"] != want || e["correlationId"] != "c" {
				t.Errorf("event %d is %v", i, e)
			}
		}
	}
	var list struct{ Events []map[string]any }
	s.call("GET", root+"/events?gatewayId=edge", "", &list)
	if len(list.Events) != 3 || list.Events[0]["traceparent"] != quietParent || list.Events[2]["traceparent"] != nil {
		t.Errorf("GET /events: %v", list)
	}
}

// What a node without tracing has in its log is no trouble to one that has it, nor
// the other way.
func TestTracingTurnedOnAndOff(t *testing.T) {
	c := startCollector(t)
	cfg := traced(t, c.URL)
	cfg.Log = settings.LogFile
	var token, cursor string
	for i, endpoint := range []string{"", c.URL, ""} {
		cfg.OTLPEndpoint = endpoint
		s := start(t, cfg)
		if i == 0 {
			token, _ = s.gateway("edge")
			g := s.connect(token)
			cursor = g.ack["cursor"].(string)
			g.CloseNow()
		}
		s.publishFrom("", event1)
		g := s.resume(token, cursor)
		for n := range i + 1 {
			if _, has := g.next()["traceparent"]; has != (n == 1) {
				t.Errorf("start %d: event %d has a traceparent: %v", i, n, has)
			}
		}
		g.CloseNow()
		s.drain()
	}
	if n := len(c.named("deliver")); n != 1 {
		t.Errorf("%d events were delivered, of those that were traced", n)
	}
}

// A collector that is gone, or does not answer, holds up neither publishes nor the
// end.
func TestCollectorInTrouble(t *testing.T) {
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hang) })
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, url := range map[string]string{"gone": gone.URL, "hanging": hanging.URL} {
		t.Run(name, func(t *testing.T) {
			s := start(t, traced(t, url))
			token, _ := s.gateway("edge")
			g := s.connect(token)
			const events = 5000
			body := strings.TrimSuffix(strings.Repeat(event1+"\n", events), "\n")
			began := time.Now()
			if got := s.publishFrom(sampledParent, body); strings.Count(got, "\n") != events || strings.Contains(got, "error") {
				t.Fatalf("%.200s", got)
			}
			for range events {
				g.next()
			}
			if took := time.Since(began); took > time.Minute { // some 0.2 s, unless something waits for the collector: then minutes
				t.Errorf("%d events took %v", events, took)
			}
			g.CloseNow()
			began = time.Now()
			s.drain()
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("the drain took %v", took)
			}
			eventually(t, "the loss is counted", func() bool { return droppedSpans(t, s) == 3*events })
			if n := strings.Count(s.logs.String(), "not exported"); n == 0 || n > 3 {
				t.Errorf("it is logged %d times", n)
			}
		})
	}
}

func droppedSpans(t *testing.T, s *system) int {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler(metrics.NewRegistry(s.counts, nil)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		var n float64
		if _, err := fmt.Sscanf(line, "gatecast_trace_spans_dropped_total %g", &n); err == nil {
			return int(n)
		}
	}
	t.Fatal("no gatecast_trace_spans_dropped_total")
	return 0
}
