// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
)

const (
	someParent  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	otherParent = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
)

// publishFrom publishes with traceparent headers.
func (r *rig) publishFrom(body, mediaType string, parents ...string) reply {
	r.t.Helper()
	req := r.request("POST", prefix+"/events", strings.NewReader(body))
	req.Header.Set("Content-Type", mediaType)
	req.Header["traceparent"] = parents // as the specification writes it; net/http would change that
	return r.send(req)
}

func bodyWith(parent string) string {
	body := `{"type":"t","payload":null,"gatewayId":"g1",` + at + `,"correlationId":"c"`
	if parent != "" {
		body += `,"traceparent":"` + parent + `"`
	}
	return body + "}"
}

func TestTraceparentIsKeptOrIgnored(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header []string
		want   string
	}{
		{"none", nil, ""},
		{"one", []string{someParent}, someParent},
		{"white space around it", []string{" " + someParent + " "}, someParent},
		{"of a higher version", []string{"42-" + someParent[3:] + "-more"}, someParent},
		{"empty", []string{""}, ""},
		{"nonsense", []string{"not a traceparent"}, ""},
		{"long", []string{strings.Repeat(someParent, 20)}, ""},
		{"twice", []string{someParent, someParent}, ""},
		{"two in one", []string{someParent + "," + otherParent}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			if got := r.publishFrom(good, typeJSON, tt.header...); got.status != 202 {
				t.Errorf("%d %s", got.status, got.body)
			}
			if got := r.publishFrom(good+"\n\n"+good+"\n", typeNDJSON, tt.header...); got.status != 200 || strings.Contains(got.body, "error") {
				t.Errorf("%d %s", got.status, got.body)
			}
			if want := slices.Repeat([]string{bodyWith(tt.want)}, 3); !slices.Equal(want, r.log.events()) {
				t.Errorf("the log has %q, want %q", r.log.events(), want)
			}
			if got := r.do("GET", prefix+"/events", ""); tt.want != "" && strings.Count(got.body, tt.want) != 3 {
				t.Errorf("GET /events: %s", got.body)
			}
		})
	}
}

// An event of the maximum size is not refused because of the header.
func TestTraceparentDoesNotFit(t *testing.T) {
	body := fmt.Sprintf(`{"gatewayId":"g1","type":"t","correlationId":"c","payload":%q}`,
		strings.Repeat("x", 4096-len(bodyWith(""))+len("null")-len(`""`)))
	r := start(t)
	if got := r.publishFrom(body, typeJSON, someParent); got.status != 202 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if e := r.log.events()[0]; len(e) != 4096 || strings.Contains(e, "traceparent") {
		t.Errorf("%d bytes: %.100s", len(e), e)
	}
}

// A fakeTracer records its calls. It traces publishes that have a parent.
type fakeTracer struct {
	mu    sync.Mutex
	lines []string
}

func (f *fakeTracer) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, fmt.Sprintf(format, args...))
}

func (f *fakeTracer) Publish(parent event.Traceparent) Span {
	if parent == "" {
		return nil
	}
	f.note("publish below %s", parent.SpanID())
	return fakeSpan{f}
}

type fakeSpan struct{ *fakeTracer }

func (fakeSpan) Traceparent() event.Traceparent { return otherParent }
func (s fakeSpan) Append(ev *event.Event, targets int) {
	s.note("append %s to %d", ev.Type, targets)
}
func (s fakeSpan) Appended(id event.Cursor, repeat bool) { s.note("appended %v %v", id, repeat) }
func (s fakeSpan) End(code string)                       { s.note("end %q", code) }

func TestPublishSpans(t *testing.T) {
	const begun, appending = "publish below b7ad6b7169203331", "append t to 1"
	unavailable := func(r *rig) { r.log.fail = errors.New("down") }
	unconfirmed := func(r *rig) { r.log.unconfirmed = errors.New("down") }
	shut := func(r *rig) { r.gate.close() }
	for _, tt := range []struct {
		name, body, parent string
		before             func(*rig)
		status             int
		want               []string
	}{
		{"not traced", good, "", nil, 202, nil},
		{"taken", good, someParent, nil, 202, []string{begun, appending, "appended 10-1 false", `end ""`}},
		{"invalid", `{"all":true}`, someParent, nil, 422, []string{begun, `end "invalid_event"`}},
		{"for nobody", `{"gatewayId":"nobody","type":"t"}`, someParent, nil, 404, []string{begun, `end "not_found"`}},
		{"draining", good, someParent, shut, 503, []string{begun, `end "draining"`}},
		{"not taken", good, someParent, unavailable, 503, []string{begun, appending, `end "unavailable"`}},
		{"not confirmed", good, someParent, unconfirmed, 503, []string{begun, appending, `end "unavailable"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tracer := &fakeTracer{}
			r := start(t, func(c *Config, _ *limits) { c.Tracer = tracer })
			if tt.before != nil {
				tt.before(r)
			}
			var header []string
			if tt.parent != "" {
				header = []string{tt.parent}
			}
			if got := r.publishFrom(tt.body, typeJSON, header...); got.status != tt.status {
				t.Errorf("%d %s", got.status, got.body)
			}
			if !slices.Equal(tt.want, tracer.lines) {
				t.Errorf("got %q, want %q", tracer.lines, tt.want)
			}
			if tt.status == 202 && tt.parent != "" && r.log.events()[0] != bodyWith(otherParent) {
				t.Errorf("the log has %q", r.log.events())
			}
		})
	}
}

// The second publish with a key is remembered by the node, the third, after a restart, only by
// the log.
func TestSpansOfRepeats(t *testing.T) {
	tracer := &fakeTracer{}
	r := start(t, func(c *Config, _ *limits) { c.Tracer = tracer })
	publish := func() {
		req := r.request("POST", prefix+"/events", strings.NewReader(good))
		req.Header.Set("Traceparent", someParent)
		req.Header.Set("Idempotency-Key", "k")
		if got := r.send(req); got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	publish()
	publish()
	r.receipts.mu.Lock()
	clear(r.receipts.byKey)
	r.receipts.mu.Unlock()
	publish()
	want := []string{
		"publish below b7ad6b7169203331", "append t to 1", "appended 10-1 false", `end ""`,
		"publish below b7ad6b7169203331", "append t to 1", "appended 10-1 true", `end ""`,
	}
	if !slices.Equal(want, tracer.lines) {
		t.Errorf("got %q, want %q", tracer.lines, want)
	}
}

// Each line has its own spans, and each span ends.
func TestSpansOfBulk(t *testing.T) {
	tracer := &fakeTracer{}
	r := start(t, func(c *Config, _ *limits) { c.Tracer = tracer })
	body := &repeated{line: good + "\n{}\n", n: 500}
	text, _ := io.ReadAll(body)
	r.publishFrom(string(text), typeNDJSON, someParent)
	counts := map[string]int{}
	for _, line := range tracer.lines {
		counts[strings.Join(strings.Fields(line)[:1], "")]++
	}
	if counts["publish"] != 1000 || counts["append"] != 500 || counts["appended"] != 500 || counts["end"] != 1000 {
		t.Errorf("got %v", counts)
	}
}
