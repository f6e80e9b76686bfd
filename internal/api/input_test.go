// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/test/spectest"

	"pgregory.net/rapid"
)

const bom = "\ufeff"

// Input that parsers read in different ways is refused, with the name of the field.
func TestBodiesAreStrict(t *testing.T) {
	const gateways, tokens = prefix + "/gateways", prefix + "/gateways/g1/tokens"
	for _, tt := range []struct {
		name, path, body string
		status           int
		field            string
	}{
		{"another case", prefix + "/events", `{"GATEWAYID":"g1","type":"t"}`, 422, "GATEWAYID"},
		{"Kelvin's k", prefix + "/events", `{"gatewayId":"g1","type":"t","Key":"x"}`, 422, "\u212aey"},
		{"twice", prefix + "/events", `{"gatewayId":"g1","type":"t","gatewayId":"g2"}`, 422, "gatewayId"},
		{"twice, once escaped", prefix + "/events", `{"gatewayId":"g1","type":"t","gateway\u0049d":"g2"}`, 422, "gatewayId"},
		{"escaped once", prefix + "/events", `{"gateway\u0049d":"g1","type":"t"}`, 202, ""},
		{"a key that is not UTF-8", prefix + "/events", "{\"gatewayId\":\"g1\",\"type\":\"t\",\"key\":\"Z\xfcrich\"}", 422, "key"},
		{"a key of half a character", prefix + "/events", `{"gatewayId":"g1","type":"t","key":"\ud800"}`, 422, "key"},
		{"a key that is overlong", prefix + "/events", "{\"gatewayId\":\"g1\",\"type\":\"t\",\"key\":\"\xc0\xaf\"}", 422, "key"},
		{"a correlation id of half a character", prefix + "/events", `{"gatewayId":"g1","type":"t","correlationId":"\udc00"}`, 422, "correlationId"},
		{"a payload that is not UTF-8", prefix + "/events", "{\"gatewayId\":\"g1\",\"type\":\"t\",\"payload\":{\"a\":[\"\xff\"]}}", 422, "payload"},
		{"a payload with a name twice", prefix + "/events", `{"gatewayId":"g1","type":"t","payload":{"a":1,"a":2}}`, 202, ""},
		{"a byte order mark", prefix + "/events", bom + `{"gatewayId":"g1","type":"t"}`, 202, ""},
		{"two byte order marks", prefix + "/events", bom + bom + `{"gatewayId":"g1","type":"t"}`, 400, ""},
		{"UTF-16", prefix + "/events", "\xff\xfe{\x00}\x00", 400, ""},
		{"null beside a target", prefix + "/events", `{"gatewayId":"g1","group":null,"type":"t"}`, 422, "group"},
		{"an empty list beside a target", prefix + "/events", `{"gatewayId":"g1","gatewayIds":[],"type":"t"}`, 422, "gatewayIds"},
		{"false beside a target", prefix + "/events", `{"gatewayId":"g1","all":false,"type":"t"}`, 422, "all"},

		{"a gateway's name in another case", gateways, `{"Name":"n"}`, 422, "Name"},
		{"a gateway's name twice", gateways, `{"name":"n","name":"m"}`, 422, "name"},
		{"a gateway's name that is not UTF-8", gateways, "{\"name\":\"Z\xfcrich\"}", 422, "name"},
		{"a gateway's name of half a character", gateways, `{"name":"\ud800"}`, 422, "name"},
		{"a gateway's group of half a character", gateways, `{"name":"n","groups":["a","\ud800"]}`, 422, "groups[1]"},
		{"a gateway's id that is null", gateways, `{"name":"n","id":null}`, 422, "id"},
		{"a gateway without groups", gateways, bom + `{"name":"n","groups":null}`, 201, ""},

		{"an expiry in another case", tokens, `{"expiresat":"2027-01-31T12:00:00Z"}`, 422, "expiresat"},
		{"an expiry twice", tokens, `{"expiresAt":null,"expiresAt":"2027-01-31T12:00:00Z"}`, 422, "expiresAt"},
		{"an expiry in an offset that there is not", tokens, `{"expiresAt":"2027-01-31T12:00:00+24:00"}`, 422, "expiresAt"},
		{"an expiry with a comma", tokens, `{"expiresAt":"2027-01-31T12:00:00,5Z"}`, 422, "expiresAt"},
		{"an expiry with half an hour", tokens, `{"expiresAt":"2027-01-31T9:00:00Z"}`, 422, "expiresAt"},
		{"an expiry in small letters", tokens, `{"expiresAt":"2027-01-31t12:00:00.5z"}`, 201, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			if tt.name == "Kelvin's k" {
				tt.body = strings.Replace(tt.body, "Key", "\u212aey", 1)
			}
			got := r.do("POST", tt.path, tt.body)
			var p struct{ Field string }
			if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != tt.status || p.Field != tt.field {
				t.Errorf("%d %s, want %d about %q", got.status, got.body, tt.status, tt.field)
			}
			if tt.path != prefix+"/events" || tt.status == 202 {
				return
			}
			// The same as a line of many, whose others it does not touch.
			lines := r.bulk(strings.NewReader(good + "\n" + strings.ReplaceAll(tt.body, "\n", "") + "\n" + good))
			if len(lines) != 3 || parseAnswer(t, lines[0]).Error != "" || parseAnswer(t, lines[1]).Error == "" || parseAnswer(t, lines[2]).Error != "" {
				t.Errorf("as a line: %q", lines)
			}
		})
	}
}

// The log stores the payload as it was written, without the white space between its parts.
func TestPayloadIsUnchanged(t *testing.T) {
	for _, payload := range []string{
		`{"a":1,"a":2,"A":3}`, `"\ud800"`, `"\u0041\/é"`, `1.0e+05`, `[12345678901234567890123,0.10,-0]`, `{"x":{"y":[{"z":1,"z":1}]}}`,
	} {
		r := start(t)
		if got := r.do("POST", prefix+"/events", `{"all":true,"type":"t","payload": `+payload+` }`); got.status != 202 {
			t.Fatalf("%s: %d %s", payload, got.status, got.body)
		}
		if body := r.do("GET", prefix+"/events", "").body; !strings.Contains(body, `"payload":`+payload+`,`) {
			t.Errorf("%s has become %s", payload, body)
		}
	}
}

// A byte order mark at the beginning of any line is skipped, as in concatenated files.
func TestBulkByteOrderMarks(t *testing.T) {
	body := bom + good + "\n" + bom + good + "\r\n" + bom + "\n" + bom + " \n" + bom + good
	for i, line := range start(t).bulk(strings.NewReader(body)) {
		if a := parseAnswer(t, line); a.Error != "" || a.ID != fmt.Sprintf("10-%d", i+1) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

func TestBodyTypes(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte(good)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const events, gateways, tokens = prefix + "/events", prefix + "/gateways", prefix + "/gateways/g1/tokens"
	for _, tt := range []struct {
		path, coding, mediaType string
		status                  int
		field                   string
	}{
		{events, "", "", 202, ""},
		{events, "", "application/json", 202, ""},
		{events, "", "Application/JSON ; Charset=\"UTF-8\"", 202, ""},
		{events, "", "application/json; charset=us-ascii; odata=verbose", 202, ""},
		{events, "", "application/x-ndjson; charset=utf8", 200, ""},
		{events, "identity", "application/json", 202, ""},
		{events, " , Identity", "application/json", 202, ""},
		{events, "gzip", "application/json", 415, "Content-Encoding"},
		{events, "gzip", "application/x-ndjson", 415, "Content-Encoding"},
		{events, "identity, br", "application/json", 415, "Content-Encoding"},
		{events, "x-whatever", "", 415, "Content-Encoding"},
		{events, "", "application/json; charset=utf-16", 415, "Content-Type"},
		{events, "", "application/x-ndjson; charset=latin1", 415, "Content-Type"},
		{events, "", "application/x-www-form-urlencoded", 415, "Content-Type"},
		{events, "", "text/plain", 415, "Content-Type"},
		{events, "", "application/json-seq", 415, "Content-Type"},
		{events, "", "application", 415, "Content-Type"},
		{events, "", ";", 415, "Content-Type"},
		{gateways, "", "application/json;charset=UTF-8", 201, ""},
		{gateways, "deflate", "application/json", 415, "Content-Encoding"},
		{gateways, "", "application/x-ndjson", 200, ""},
		{tokens, "", "application/json", 201, ""},
		{tokens, "gzip", "", 415, "Content-Encoding"},
		{tokens, "", "text/json", 415, "Content-Type"},
	} {
		t.Run(fmt.Sprintf("%s %q %q", tt.path, tt.coding, tt.mediaType), func(t *testing.T) {
			body := map[string]string{events: good, gateways: `{"name":"n"}`, tokens: `{}`}[tt.path]
			if tt.coding == "gzip" {
				body = zipped.String()
			}
			r := start(t)
			req := r.request("POST", tt.path, strings.NewReader(body))
			if tt.coding != "" {
				req.Header.Set("Content-Encoding", tt.coding)
			}
			if tt.mediaType != "" {
				req.Header.Set("Content-Type", tt.mediaType)
			}
			got := r.send(req)
			var p struct{ Error, Field string }
			if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != tt.status || p.Field != tt.field {
				t.Errorf("%d %s, want %d about %q", got.status, got.body, tt.status, tt.field)
			}
			if tt.status == 415 && (p.Error != codeUnsupported || got.header.Get("Accept-Encoding") == "" != (tt.field == "Content-Type")) {
				t.Errorf("%s, Accept-Encoding %q", got.body, got.header.Get("Accept-Encoding"))
			}
		})
	}
}

// The type of an empty body does not matter.
func TestTokenWithoutBody(t *testing.T) {
	r := start(t)
	req := r.request("POST", prefix+"/gateways/g1/tokens", http.NoBody)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := r.send(req); got.status != 201 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestQueriesAreStrict(t *testing.T) {
	r := start(t)
	for _, tt := range []struct {
		method, path string
		status       int
		field        string
	}{
		{"GET", "/events?since=%zz", 400, "since"},
		{"GET", "/events?since=10-0%", 400, "since"},
		{"GET", "/events?since=%ff", 400, "since"},
		{"GET", "/events?since=10-0;limit=5", 400, "since"},
		{"GET", "/events?since=10-0&since=10-0", 400, "since"},
		{"GET", "/events?since=10-0&sinc%65=10-1", 400, "since"},
		{"GET", "/events?sinc%65=10-0", 200, ""},
		{"GET", "/events?Since=10-0", 400, "Since"},
		{"GET", "/events?limits=5", 400, "limits"},
		{"GET", "/events?%zz=5", 400, "%zz"},
		{"GET", "/events?=5", 400, ""},
		{"GET", "/events?&limit=5&", 200, ""},
		{"GET", "/events?limit=%2b5", 400, "limit"},
		{"GET", "/events?limit=5&limit=", 400, "limit"},
		{"GET", "/events?gatewayId=g1%00", 400, "gatewayId"},
		{"GET", "/deliveries?from=2027-01-31T12:00:00%2B24:00", 400, "from"},
		{"GET", "/deliveries?from=2027-01-31T12:00:00+01:00", 400, "from"},
		{"GET", "/deliveries?from=2027-01-31t12:00:00z", 200, ""},
		{"GET", "/deliveries?to=0001-01-01T00:00:00Z", 200, ""},
		{"GET", "/deliveries?gateway=g1", 400, "gateway"},
		{"GET", "/messages?after=%zz", 400, "after"},
		{"GET", "/messages?cursor=m-0", 400, "cursor"},
		{"GET", "/gateways?cursor=%zz", 400, "cursor"},
		{"GET", "/gateways/g1?x=1", 400, "x"},
		{"GET", "/gateways/g1/tokens?x=1", 400, "x"},
		{"GET", "/stats?scope=node&scope=cluster", 400, "scope"},
		{"GET", "/stats?limit=1;scope=cluster", 400, "limit"},
		{"HEAD", "/stats?x", 400, ""},
		{"DELETE", "/gateways/g1?force=1", 400, "force"},
		{"DELETE", "/gateways/g1/tokens/t1?x", 400, "x"},
		{"DELETE", "/verified/g1?x", 400, "x"},
		{"DELETE", "/connections/x?x", 400, "x"},
		{"POST", "/events?dry=1", 400, "dry"},
	} {
		got := r.do(tt.method, prefix+tt.path, good)
		var p struct{ Field string }
		if got.body != "" {
			if err := json.Unmarshal([]byte(got.body), &p); err != nil {
				t.Fatal(err)
			}
		}
		if got.status != tt.status || p.Field != tt.field {
			t.Errorf("%s %s: %d %s, want %d about %q", tt.method, tt.path, got.status, got.body, tt.status, tt.field)
		}
	}
	for _, path := range []string{"/health?x=1&x=%zz", "/ready?;", "/metrics?name[]=up", "/?x"} {
		if got := r.send(r.request("GET", path, nil)); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// member draws the text of a member of a draft that often is not as it should be.
func member(t *rapid.T, name string) string {
	id := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_.-]{0,3}`), rapid.StringMatching(`[a-z]{62,66}`), rapid.String())
	text := rapid.OneOf(rapid.Just(""), rapid.StringN(0, 5, -1), rapid.StringN(250, 260, -1), rapid.StringOfN(rapid.RuneFrom([]rune("aä😀\x00")), 255, 258, -1))
	var v any
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case kind == 0:
		v = nil
	case kind == 1:
		v = rapid.OneOf(rapid.Just[any](5), rapid.Just[any](true), rapid.Just[any](false), rapid.Just[any](""), rapid.Just[any]([]string{}), rapid.Just[any](map[string]any{})).Draw(t, "value")
	case name == "gatewayIds":
		v = rapid.OneOf(rapid.SliceOfN(id, 0, 3), rapid.SliceOfN(rapid.Just("a"), 999, 1001)).Draw(t, "ids")
	case name == "all":
		v = rapid.Bool().Draw(t, "all")
	case name == "type":
		v = rapid.OneOf(rapid.StringMatching(`[a-z]{1,2}(\.[a-z0-9_.]{1,2})?`), rapid.StringMatching(`[a-z]{127,129}`), rapid.String()).Draw(t, "type")
	case name == "correlationId" || name == "key" || name == "payload":
		v = text.Draw(t, "text")
	default:
		v = id.Draw(t, "id")
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The document and the parser accept the same events.
func TestPropertyEventsMatchSchema(t *testing.T) {
	taken, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"gatewayId", "gatewayIds", "group", "organizationId", "all", "payload", "correlationId", "key", "Type", "x",
		}), 0, 3, rapid.ID).Draw(t, "names")
		if rapid.IntRange(0, 9).Draw(t, "typed") > 0 {
			names = append(names, "type")
		}
		var members []string
		if rapid.Bool().Draw(t, "usual") { // else hardly any draft is taken
			names = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"payload", "correlationId", "key"}), 0, 2, rapid.ID).Draw(t, "names beside")
			members = []string{`"gatewayId":"g"`, `"type":"a.b"`}
		}
		for _, name := range names {
			members = append(members, fmt.Sprintf("%q:%s", name, member(t, name)))
		}
		text := "{" + strings.Join(members, ",") + "}"
		says := spectest.CheckValue("Publish", text)
		d, err := event.ParseDraft([]byte(text))
		if err == nil {
			_, err = d.Event(time.Unix(2000, 0), func() string { return "made" })
		}
		if (says == nil) != (err == nil) {
			t.Fatalf("%s: the reader says %v, the schema %v", text, err, says)
		}
		if err == nil {
			taken++
		} else {
			refused++
		}
	})
	if taken == 0 || refused == 0 {
		t.Errorf("%d drafts were taken and %d refused: the property was not tried", taken, refused)
	}
}

// The document accepts every gateway and token that the parser accepts.
func TestPropertyBodiesMatchSchema(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := rapid.SampledFrom([]string{"NewGateway", "NewToken"}).Draw(t, "schema")
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"name", "id", "organizationId", "groups", "expiresAt", "Name"}), 0, 4, rapid.ID).Draw(t, "names")
		var members []string
		for _, name := range names {
			kind := map[string]string{"groups": "gatewayIds", "name": "key"}[name]
			text := member(t, kind)
			if name == "expiresAt" && rapid.Bool().Draw(t, "time") {
				text = rapid.SampledFrom([]string{`"2027-01-31T12:00:00Z"`, `"2027-01-31T12:00:00.123+23:59"`, `"2027-02-30T12:00:00Z"`, `"2027-01-31"`, `"2027-01-31 12:00:00Z"`}).Draw(t, "at")
			}
			members = append(members, fmt.Sprintf("%q:%s", name, text))
		}
		text := "{" + strings.Join(members, ",") + "}"
		says := spectest.CheckValue(schema, text)
		var err error
		if schema == "NewGateway" {
			_, err = parseGateway([]byte(text)) // the registry checks the values
		} else {
			_, err = parseExpiry([]byte(text))
		}
		if says == nil && err != nil {
			t.Fatalf("%s: the schema takes it, the reader says %v", text, err)
		}
		if schema == "NewToken" && (says == nil) != (err == nil) {
			t.Fatalf("%s: the reader says %v, the schema %v", text, err, says)
		}
	})
}

// A client that writes all of a long compressed body before it reads gets its answer.
func TestLongCompressedBody(t *testing.T) {
	r := start(t)
	for _, mediaType := range []string{typeJSON, typeNDJSON} {
		c := r.dial()
		body := bytes.Repeat([]byte("x"), discardLimit-1)
		head := fmt.Sprintf("POST %s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n",
			prefix, adminToken, mediaType, len(body))
		if _, err := c.Write(append([]byte(head), body...)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %v, %v", mediaType, resp, err)
		}
	}
}
