// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func isBody(body []byte, target Target) bool {
	_, ok := ReadBody(body, target)
	return ok
}

const checkedTail = `,"timestamp":"2026-11-24T02:04:05.000000600Z","correlationId":"c"}`

var edge = Target{GatewayIDs: []string{"edge"}}

// Messages of other programs are not taken for events of gatecast.
func TestReadBody(t *testing.T) {
	group := Target{Group: "g"}
	for _, c := range []struct {
		name   string
		body   string
		target Target
		want   bool
	}{
		{"for a group", `{"type":"a.b","payload":{"x":[1,-2.5e3,true,false,null,"é\u00e9\n"]}` + checkedTail, group, true},
		{"for a gateway", `{"type":"a.b","payload":null,"gatewayId":"edge"` + checkedTail, edge, true},
		{"of a later version", `{"type":"a.b","payload":1,"userId":"u","n":{"id":1}` + checkedTail, group, true},
		{"with a traceparent", `{"type":"a.b","payload":1,"timestamp":"2026-11-24T02:04:05.000000600Z","correlationId":"c","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`, group, true},
		{"without a time", `{"type":"a.b","payload":1,"timestamp":null,"correlationId":"c"}`, group, true},

		{"nothing", ``, group, false},
		{"a brace", `{`, group, false},
		{"an empty object", `{}`, group, false},
		{"an array", `[]`, group, false},
		{"a string", `"type"`, group, false},
		{"a number", `1`, group, false},
		{"null", `null`, group, false},
		{"text", `hello`, group, false},
		{"cut off", `{"type":"a.b","payload":1,"timestamp":"2026`, group, false},
		{"another object after it", `{"type":"a.b","payload":1` + checkedTail + `{}`, group, false},
		{"a line after it", `{"type":"a.b","payload":1` + checkedTail + "\n", group, false},
		{"without a type", `{"payload":1` + checkedTail, group, false},
		{"with a type that is none", `{"type":"a b","payload":1` + checkedTail, group, false},
		{"with an empty type", `{"type":"","payload":1` + checkedTail, group, false},
		{"with a number as its type", `{"type":1,"payload":1` + checkedTail, group, false},
		{"with its type in escapes", `{"type":"\u0061","payload":1` + checkedTail, group, false},
		{"with two types", `{"type":"a","type":"b","payload":1` + checkedTail, group, false},
		{"with an id", `{"type":"a","id":"x-1","payload":1` + checkedTail, group, false},
		{"with an id in front", `{"id":"x-1","type":"a","payload":1` + checkedTail, group, false},
		{"with an id in escapes", `{"type":"a","\u0069d":"x-1","payload":1` + checkedTail, group, false},
		{"without a payload", `{"type":"a"` + checkedTail, group, false},
		{"with two payloads", `{"type":"a","payload":1,"payload":2` + checkedTail, group, false},
		{"with a payload that is no JSON", `{"type":"a","payload":{x}` + checkedTail, group, false},
		{"with a payload cut off", `{"type":"a","payload":{"x":` + checkedTail, group, false},
		{"with a number that is none", `{"type":"a","payload":01` + checkedTail, group, false},
		{"with a control character", "{\"type\":\"a\",\"payload\":\"a\nb, and something more\"" + checkedTail, group, false},
		{"with an escape that is none", `{"type":"a","payload":"\x"` + checkedTail, group, false},
		{"with half an escape", `{"type":"a","payload":"\u00"` + checkedTail, group, false},
		{"not in UTF-8", "{\"type\":\"a\",\"payload\":\"\xff\"" + checkedTail, group, false},
		{"with white space", `{"type":"a", "payload":1` + checkedTail, group, false},
		{"with a line break in its payload", "{\"type\":\"a\",\"payload\":[1,\n2]" + checkedTail, group, false},
		{"without a timestamp", `{"type":"a","payload":1,"correlationId":"c"}`, group, false},
		{"with a number as its timestamp", `{"type":"a","payload":1,"timestamp":1,"correlationId":"c"}`, group, false},
		{"with a time that there is not", `{"type":"a","payload":1,"timestamp":"2026-13-24T02:04:05.000000600Z","correlationId":"c"}`, group, false},
		{"with a comma in its time", `{"type":"a","payload":1,"timestamp":"2026-11-24T02:04:05,000000600Z","correlationId":"c"}`, group, false},
		{"with a time of 30 characters without quotes", `{"type":"a","payload":1,"timestamp":02026-11-24T02:04:05.000000600Z0,"correlationId":"c"}`, group, false},
		{"with a number as its correlation id", `{"type":"a","payload":1,"timestamp":null,"correlationId":1}`, group, false},
		{"without a correlation id", `{"type":"a","payload":1,"timestamp":null}`, group, false},
		{"with a traceparent that is none", `{"type":"a","payload":1,"timestamp":null,"correlationId":"c","traceparent":"x"}`, group, false},
		{"of another gateway", `{"type":"a","payload":1,"gatewayId":"other"` + checkedTail, edge, false},
		{"of no gateway", `{"type":"a","payload":1` + checkedTail, edge, false},
		{"of one gateway, for a group", `{"type":"a","payload":1,"gatewayId":"edge"` + checkedTail, group, false},
		{"with a number as its gateway", `{"type":"a","payload":1,"gatewayId":1` + checkedTail, edge, false},
		{"nested too deep", `{"type":"a","payload":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + checkedTail, group, false},
		{"with too many members", `{"type":"a","payload":1,` + members(maxMembers) + checkedTail[1:], group, false},
	} {
		if got := isBody([]byte(c.body), c.target); got != c.want {
			t.Errorf("%s: %v; want %v", c.name, got, c.want)
		}
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"m` + strings.Repeat("x", i) + `":1,`)
	}
	return b.String()
}

// Whatever is published is an event of ours when it is read.
func TestPropertyReadBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Event{
			Target: Target{All: true}, Type: rapid.StringMatching(`[a-z]{1,20}(\.[A-Z_0-9]{1,5}){0,3}`).Draw(t, "type"),
			Timestamp:     time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), 5),
			CorrelationID: rapid.String().Draw(t, "correlation"),
		}
		if rapid.Bool().Draw(t, "single") {
			e.Target = Target{GatewayIDs: []string{rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "id")}}
		}
		payload, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.String())).Draw(t, "payload"))
		if err != nil {
			t.Fatal(err)
		}
		e.Payload = payload
		body := e.AppendBody(nil)
		for _, read := range []func([]byte, Target) (time.Time, bool){readBody, readLaterBody, ReadBody} {
			if at, ok := read(body, e.Target); !ok || !at.Equal(e.Timestamp) {
				t.Fatalf("%s is read as an event of %v, %v", body, at, ok)
			}
		}
	})
}

// What CheckMembers accepts, encoding/json accepts, and the other way round but for
// what only CheckMembers refuses. An event has one id when it has been given one.
func FuzzReadBody(f *testing.F) {
	e := Event{Target: Target{All: true}, Type: "a.b", Payload: json.RawMessage(`{"a":["\u00e9é",1.5e-3,{}]}`), Timestamp: someTime, CorrelationID: `"`}
	body := e.AppendBody(nil)
	f.Add(body)
	for _, seed := range []string{``, `{}`, `[]`, `{"type":"a"}`, `{"id":"k-1","type":"a"}`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`, `{"a" :1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		members, named := 0, map[string]bool{}
		ok := CheckMembers(b, func(name, value []byte) bool {
			members++
			named[string(name)] = true
			if !json.Valid(value) {
				t.Errorf("%q is no value", value)
			}
			return true
		})
		var compact bytes.Buffer
		if ok {
			if err := json.Compact(&compact, b); err != nil || !bytes.Equal(compact.Bytes(), b) || !utf8.Valid(b) {
				t.Fatalf("%q was accepted (%v)", b, err)
			}
			if len(named) != members {
				t.Fatalf("%q has a member twice", b)
			}
		}
		if !isBody(b, Target{All: true}) {
			return
		}
		if _, later := readLaterBody(b, Target{All: true}); !later {
			t.Fatalf("%q is a body by the quick way alone", b)
		}
		if !ok {
			t.Fatalf("%q is a body and no object", b)
		}
		var m struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		}
		c := Cursor{Epoch: 7, Seq: 9}
		with := AppendWithID(nil, b, c)
		if err := json.Unmarshal(with, &m); err != nil || bytes.Count(with, []byte(`"id":"`+c.String()+`"`)) < 1 {
			t.Fatalf("%q becomes %q: %v", b, with, err)
		}
	})
}

// Every byte of a string is checked, whatever its offset in eight bytes.
func TestSkipString(t *testing.T) {
	for n := range 40 {
		for at := range n {
			for c := range 256 {
				text := bytes.Repeat([]byte("a"), n)
				text[at] = byte(c)
				s := append(append([]byte{'"'}, text...), `",`...)
				want := len(s) - 1
				switch {
				case c == '"':
					want = at + 2
				case c < ' ':
					want = -1
				case c == '\\': // the next one is a, or the closing quote
					want = -1
				}
				if got := skipString(s, 0); got != want {
					t.Fatalf("%q ends at %d; want %d", s, got, want)
				}
			}
		}
	}
	// Bytes that differ from the special ones in one bit, beside them.
	for range 10_000 {
		text := make([]byte, 24)
		for i := range text {
			text[i] = "\"\\\x1f !#]\x80\xa2\xdcaz"[rand.IntN(12)]
		}
		s := append([]byte{'"'}, text...)
		if got, want := skipString(s, 0), slowString(s); got != want {
			t.Fatalf("%q ends at %d; want %d", s, got, want)
		}
	}
}

// slowString is skipString byte by byte.
func slowString(b []byte) int {
	for at := 1; at < len(b); at++ {
		switch {
		case b[at] == '"':
			return at + 1
		case b[at] < ' ':
			return -1
		case b[at] == '\\':
			if at++; at == len(b) || !strings.ContainsRune(`"\/bfnrt`, rune(b[at])) {
				return -1
			}
		}
	}
	return -1
}

func BenchmarkReadBody(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		e := Event{
			Target: edge, Type: "api.deployed", Timestamp: someTime, CorrelationID: "0193a6f0-0000-7000-8000-000000000000",
			Payload: json.RawMessage(`{"name":"api","items":["` + strings.Repeat("0123456789abcdef", size/16) + `",1,2,3]}`),
		}
		body := e.AppendBody(nil)
		b.Run(fmt.Sprint("payload=", size), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if !isBody(body, edge) {
					b.Fatal()
				}
			}
		})
	}
}
