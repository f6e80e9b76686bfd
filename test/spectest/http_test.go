// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package spectest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A recorder collects what a check reports.
type recorder []string

func (*recorder) Helper() {}

func (c *recorder) Errorf(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

// expect fails unless the check reported text that contains want, or nothing if want is empty.
func (c *recorder) expect(t *testing.T, want string) {
	t.Helper()
	all := strings.Join(*c, "\n")
	if (want == "") != (all == "") || !strings.Contains(all, want) {
		t.Errorf("reported %q, want %q", all, want)
	}
}

// A fixedAnswer is a RoundTripper that gives every request the same answer.
type fixedAnswer struct {
	status int
	header string // NAME: VALUE
	body   string
}

func (c fixedAnswer) RoundTrip(*http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if name, value, ok := strings.Cut(c.header, ": "); ok {
		header.Set(name, value)
	}
	return &http.Response{StatusCode: c.status, Header: header, Body: io.NopCloser(strings.NewReader(c.body))}, nil
}

func TestAnswers(t *testing.T) {
	const (
		receipt = `{"id":"k-1","correlationId":"c","timestamp":"2027-01-31T12:00:00.000000000Z","targets":1,"connected":0}`
		publish = `{"gatewayId":"g","type":"t","payload":null}`
		events  = "POST /api/internal/v1/events"
		lines   = "Content-Type: application/x-ndjson"
	)
	tests := []struct {
		name, operation, sent string
		answer                fixedAnswer
		want                  string // "": nothing
	}{
		{"as documented", events, publish, fixedAnswer{202, "", receipt}, ""},
		{"a field that is not documented", events, publish, fixedAnswer{202, "", strings.Replace(receipt, `"targets"`, `"node":"n1","targets"`, 1)}, `property "node" is unsupported`},
		{"a field that is missing", events, publish, fixedAnswer{202, "", strings.Replace(receipt, `"correlationId":"c",`, "", 1)}, `"correlationId" is missing`},
		{"a time of another form", events, publish, fixedAnswer{202, "", strings.Replace(receipt, ".000000000Z", "Z", 1)}, "at /timestamp"},
		{"a status that is not documented", events, publish, fixedAnswer{201, "", receipt}, "the status is not documented"},
		{"a type that is not documented", events, publish, fixedAnswer{202, "Content-Type: text/html", receipt}, "text/html"},
		{"not JSON", events, publish, fixedAnswer{202, "", receipt + "}"}, "not JSON"},
		{"a header that is not documented", events, publish, fixedAnswer{202, "X-Node: n1", receipt}, "header X-Node: n1 is not documented"},
		{"a header that is missing", "GET /ready", "", fixedAnswer{503, "", `{"error":"draining","message":""}`}, `header "Retry-After" missing`},
		{"a header of another form", "GET /ready", "", fixedAnswer{503, "Retry-After: soon", `{"error":"draining","message":""}`}, "Retry-After"},
		{"a code that is not documented", "GET /ready", "", fixedAnswer{503, "Retry-After: 1", `{"error":"busy","message":""}`}, "at /error"},
		{"a body where there is none", "DELETE /api/internal/v1/gateways/g", "", fixedAnswer{204, "", "{}"}, "no body is documented"},
		{"a request that is not documented", events, `{"gatewayId":"g","type":"t","tags":1}`, fixedAnswer{202, "", receipt}, `property "tags" is unsupported`},
		{"a parameter that is not as documented", "GET /api/internal/v1/gateways?limit=2000", "", fixedAnswer{200, "", `{"gateways":[]}`}, `"limit"`},
		{"a request that is refused", events, `{`, fixedAnswer{400, "", `{"error":"bad_request","message":"","field":"x"}`}, ""},
		{"lines", events, publish, fixedAnswer{200, lines, receipt + "\n" + `{"line":2,"error":"not_found","message":""}` + "\n"}, ""},
		{"a line that is not documented", events, publish, fixedAnswer{200, lines, receipt + "\n{}\n"}, `"{}\n"`},
		{"no route", "GET /nope", "", fixedAnswer{404, "", `{"error":"not_found","message":""}`}, ""},
		{"a route that is not documented", "GET /nope", "", fixedAnswer{200, "", "{}"}, "no documented operation answers"},
		{"a method that is not documented", "PUT /health", "", fixedAnswer{405, "Allow: GET", `{"error":"method_not_allowed","message":""}`}, ""},
		{"a method, without Allow", "PUT /health", "", fixedAnswer{405, "", `{"error":"method_not_allowed","message":""}`}, `"Allow" missing`},
		{"the head alone", "HEAD /health", "", fixedAnswer{200, "", ""}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got recorder
			method, path, _ := strings.Cut(tt.operation, " ")
			req, err := http.NewRequest(method, "http://gatecast.test"+path, strings.NewReader(tt.sent))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&Transport{&got, tt.answer}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != tt.answer.body {
				t.Errorf("the body is %q, %v", body, err)
			}
			got.expect(t, tt.want)
		})
	}
}

func TestAnswersNotReadToTheEnd(t *testing.T) {
	for _, tt := range []struct {
		answer fixedAnswer
		want   string
	}{
		{fixedAnswer{200, "", `{"status":7}`}, ""}, {fixedAnswer{201, "", `{"status":"ok"}`}, "the status is not documented"},
	} {
		var got recorder
		req, _ := http.NewRequest("GET", "http://gatecast.test/health", nil)
		resp, _ := (&Transport{&got, tt.answer}).RoundTrip(req)
		if _, err := resp.Body.Read(make([]byte, 3)); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		resp.Body.Close()
		got.expect(t, tt.want)
	}
}

// The lines that were kept of a long answer are checked.
func TestLongAnswers(t *testing.T) {
	for _, tt := range []struct{ first, want string }{
		{`{"line":1,"error":"not_found","message":""}`, ""}, {`{}`, `"{}\n"`},
	} {
		var got recorder
		long := fixedAnswer{200, "Content-Type: application/x-ndjson", tt.first + "\n" + strings.Repeat("x", 2*maxKept)}
		req, _ := http.NewRequest("POST", "http://gatecast.test/api/internal/v1/events", nil)
		resp, _ := (&Transport{&got, long}).RoundTrip(req)
		if n, err := io.Copy(io.Discard, resp.Body); n != int64(len(long.body)) || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		got.expect(t, tt.want)
	}
}
