// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

const at = `"timestamp":"1970-01-01T00:33:20.000000007Z"`

func TestPublish(t *testing.T) {
	long := strings.Repeat("x", 4096)
	tests := []struct {
		name, body string
		status     int
		want       string // of the answer
		logged     string // "": nothing
	}{
		{"one gateway", `{"gatewayId":"g1","type":"api.deployed","payload":{"a": 1},"correlationId":"c"}`, 202,
			`{"id":"10-1","correlationId":"c",` + at + `,"targets":1,"connected":1}`,
			`{"type":"api.deployed","payload":{"a":1},"gatewayId":"g1",` + at + `,"correlationId":"c"}`},
		{"several", `{"gatewayIds":["g1","g2","g1"],"type":"t","correlationId":"c"}`, 202,
			`{"id":"10-1","correlationId":"c",` + at + `,"targets":2,"connected":1}`,
			`{"type":"t","payload":null,` + at + `,"correlationId":"c"}`},
		{"a group", `{"group":"all-of-them","type":"t","correlationId":"c"}`, 202,
			`{"id":"10-1","correlationId":"c",` + at + `,"targets":3,"connected":1}`,
			`{"type":"t","payload":null,` + at + `,"correlationId":"c"}`},
		{"a group without members", `{"group":"nobody","type":"t","correlationId":"c"}`, 202,
			`{"id":"10-1","correlationId":"c",` + at + `,"targets":0,"connected":0}`,
			`{"type":"t","payload":null,` + at + `,"correlationId":"c"}`},
		{"an organization", `{"organizationId":"acme","type":"t","correlationId":"c","fields":{"userId":"u1", "organizationId": [1, 2]}}`, 202,
			`{"id":"10-1","correlationId":"c",` + at + `,"targets":3,"connected":1}`,
			`{"type":"t","payload":null,"userId":"u1","organizationId":[1,2],` + at + `,"correlationId":"c"}`},
		{"fields of one gateway", `{"gatewayId":"g1","type":"t","payload":1,"correlationId":"c","fields":{"userId":"u1"}}`, 202,
			`{"id":"10-1","correlationId":"c",` + at + `,"targets":1,"connected":1}`,
			`{"type":"t","payload":1,"userId":"u1","gatewayId":"g1",` + at + `,"correlationId":"c"}`},
		{"all", `{"all":true,"type":"t","correlationId":"c"}`, 202,
			`{"id":"10-1","correlationId":"c",` + at + `,"targets":3,"connected":1}`,
			`{"type":"t","payload":null,` + at + `,"correlationId":"c"}`},
		{"a correlation id that needs escapes", `{"all":true,"type":"t","correlationId":"\"ü\n"}`, 202,
			`{"id":"10-1","correlationId":"\"ü\n",` + at + `,"targets":3,"connected":1}`,
			`{"type":"t","payload":null,` + at + `,"correlationId":"\"ü\n"}`},

		{"an unknown gateway", `{"gatewayIds":["g1","nobody"],"type":"t"}`, 404,
			`{"error":"not_found","message":"gateway nobody is not registered; nothing was published"}`, ""},
		{"no receiver", `{"type":"t"}`, 422,
			`{"error":"invalid_event","message":"gatewayId: name the receivers by exactly one of gatewayId, gatewayIds, group, organizationId and all","field":"gatewayId"}`, ""},
		{"a field of gatecast's", `{"all":true,"type":"t","fields":{"userId":"u","cursor":1}}`, 422,
			`{"error":"invalid_event","message":"fields.cursor: is a name of gatecast's own, in any letter case; choose another one","field":"fields.cursor"}`, ""},
		{"fields that are no object", `{"all":true,"type":"t","fields":"userId"}`, 422,
			`{"error":"invalid_event","message":"fields: want a JSON object, such as {\"userId\":\"u1\"}","field":"fields"}`, ""},
		{"an organization and a group", `{"organizationId":"acme","group":"g","type":"t"}`, 422, ``, ""},
		{"an organization that is none", `{"organizationId":"a b","type":"t"}`, 422,
			`{"error":"invalid_event","message":"organizationId: want 1 to 64 of letters, digits, _ and -","field":"organizationId"}`, ""},
		{"a bad type", `{"all":true,"type":"a b"}`, 422, ``, ""},
		{"an unknown field", `{"all":true,"type":"t","payloda":1}`, 422, ``, ""},
		{"a field of a wrong type", `{"all":true,"type":1}`, 422, `{"error":"invalid_event","message":"type: is a JSON number; want a string","field":"type"}`, ""},
		{"not JSON", `{"all":`, 400, ``, ""},
		{"nothing", ``, 400, `{"error":"bad_request","message":"the body is not one JSON object: it is empty"}`, ""},
		{"two events", `{"all":true,"type":"t"}{"all":true,"type":"t"}`, 400, ``, ""},
		{"too long an event", `{"all":true,"type":"t","payload":"` + long + `"}`, 413, ``, ""},
		{"too long a body", `{"all":true,"type":"t"}` + strings.Repeat(" ", 4096+bodySlack), 413, ``, ""},
		{"a long body of a short event", `{"all":true,"type":"t","correlationId":"c"}` + strings.Repeat(" ", bodySlack), 202, ``,
			`{"type":"t","payload":null,` + at + `,"correlationId":"c"}`},
	}
	for _, chunked := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, chunked %v", tt.name, chunked), func(t *testing.T) {
				r := start(t)
				var body io.Reader = strings.NewReader(tt.body)
				if chunked {
					body = struct{ io.Reader }{body} // net/http cannot see its length
				}
				got := r.send(r.request("POST", prefix+"/events", body))
				if got.status != tt.status || got.header.Get("Content-Type") != typeJSON {
					t.Errorf("status %d, want %d", got.status, tt.status)
				}
				if tt.want != "" && got.body != tt.want {
					t.Errorf("got  %s\nwant %s", got.body, tt.want)
				}
				if logged := strings.Join(r.log.events(), "\n"); logged != tt.logged {
					t.Errorf("the log has %s\nwant %s", logged, tt.logged)
				}
			})
		}
	}
}

// The limit is exact, whatever white space the publisher sent.
func TestPublishLongestEvent(t *testing.T) {
	r := start(t)
	frame := len(`{"type":"t","payload":"","userId":"u","gatewayId":"g1",` + at + `,"correlationId":"c"}`)
	for _, tt := range []struct{ size, status int }{{4096, 202}, {4097, 413}} {
		body := fmt.Sprintf("{ \n\t\"gatewayId\": \"g1\", \"type\": \"t\", \"correlationId\": \"c\", \"payload\": %q, \"fields\": { \"userId\" :\"u\" }}", strings.Repeat("x", tt.size-frame))
		if got := r.do("POST", prefix+"/events", body); got.status != tt.status {
			t.Errorf("%d bytes: %d %s", tt.size, got.status, got.body)
		}
	}
}

func TestPublishMakesCorrelationIDs(t *testing.T) {
	r := start(t)
	var seen [2]struct{ CorrelationID string }
	for i := range seen {
		if err := json.Unmarshal([]byte(r.do("POST", prefix+"/events", `{"all":true,"type":"t"}`).body), &seen[i]); err != nil {
			t.Fatal(err)
		}
		if _, err := uuid.Parse(seen[i].CorrelationID); err != nil {
			t.Error(err)
		}
	}
	if seen[0] == seen[1] {
		t.Errorf("%s twice", seen[0].CorrelationID)
	}
}

func TestPublishLogUnreachable(t *testing.T) {
	r := start(t)
	r.log.fail = errors.New("disk full")
	got := r.do("POST", prefix+"/events", `{"all":true,"type":"t"}`)
	if got.status != 503 || got.header.Get("Retry-After") != "1" || !strings.HasPrefix(got.body, `{"error":"unavailable"`) || !strings.Contains(got.body, "disk full") {
		t.Errorf("%d %q %s", got.status, got.header.Get("Retry-After"), got.body)
	}
	if !strings.Contains(r.logs.String(), "disk full") {
		t.Error("it is not logged")
	}
}

// A client that writes everything before it reads receives its answer.
func TestPublishTooLongIsAnsweredNotReset(t *testing.T) {
	r := start(t)
	body := strings.Repeat("x", 2<<20)
	got := r.raw(fmt.Sprintf("POST %s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		prefix, adminToken, len(body), body))
	if got.status != 413 || !strings.HasPrefix(got.body, `{"error":"payload_too_large"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A body that was cut off is not published, even if its beginning is a valid event.
func TestPublishCutOff(t *testing.T) {
	r := start(t)
	w := &wire{t: t, c: r.dial()}
	w.write("POST " + prefix + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminToken +
		"\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat(" ", 8<<10) + good)
	if err := w.c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if a := w.answer(); a.Error != codeBadRequest {
		t.Errorf("%+v", a)
	}
	if n := len(r.log.events()); n != 0 {
		t.Errorf("%d events are in the log", n)
	}
}

func FuzzPublish(f *testing.F) {
	for _, s := range []string{
		`{"gatewayId":"g1","type":"api.deployed","payload":{"a":[1,"\u00fc",null]},"correlationId":"c","key":"k"}`,
		`{"gatewayIds":["g1","nobody"],"type":"t"}`, `{"group":"all-of-them","type":"t"}`,
		`{"all":true,"type":"t","payload":"` + "\xff" + `"}`, `{"all":true,"type":1}`, `[]`, ``, `{"all":true}{`, `null`,
	} {
		f.Add([]byte(s))
	}
	r := start(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := r.prepare(text, "")
		if err != nil {
			p := requestProblem(err)
			if p.status < 400 || p.status > 499 || !json.Valid(append(p.appendTo([]byte{'{'}), '}')) {
				t.Fatalf("%q is refused by %d %s", text, p.status, p.appendTo(nil))
			}
			return
		}
		if len(a.body) > r.cfg.MaxPayload || !json.Valid(a.body) || strings.ContainsAny(string(a.body), "\r\n") {
			t.Fatalf("%q makes %q", text, a.body)
		}
		answer := a.receipt.withID(event.Cursor{Epoch: 1, Seq: 1})
		var receipt struct{ ID, CorrelationID, Timestamp string }
		if err := json.Unmarshal(answer.appendTo(nil), &receipt); err != nil {
			t.Fatal(err)
		}
		if receipt.CorrelationID != a.event.CorrelationID || receipt.ID != "1-1" {
			t.Fatalf("%q has the receipt %+v", text, receipt)
		}
	})
}

// While the registry cannot catch up, the server does not say that a gateway is unknown.
func TestPublishRegistryLags(t *testing.T) {
	r := start(t)
	r.registry.catchUpErr = errors.New("no connection")
	got := r.do("POST", prefix+"/events", `{"gatewayId":"nobody","type":"a.b"}`)
	if got.status != 503 || !strings.Contains(got.body, "cannot establish whether") {
		t.Errorf("answered with %d %s", got.status, got.body)
	}
	if got := r.do("POST", prefix+"/events", `{"gatewayId":"g1","type":"a.b"}`); got.status != 202 {
		t.Errorf("answered with %d %s", got.status, got.body)
	}
}
