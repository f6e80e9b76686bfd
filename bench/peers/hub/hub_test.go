// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// A memory records what it must send.
type memory struct{ sent []string }

func (*memory) Serve(net.Listener, *tls.Config, *Hub) error { return nil }
func (m *memory) Send(gatewayID string, message []byte) {
	m.sent = append(m.sent, gatewayID+" "+string(message))
}
func (m *memory) SendAll(message []byte) { m.sent = append(m.sent, "all "+string(message)) }

func TestEvents(t *testing.T) {
	const one, all = `{"gatewayId":"g","type":"t","payload":{"n":1}}`, `{"all":true,"type":"t","payload":{"n":2}}`
	for _, tt := range []struct {
		name, token, contentType, body string
		status                         int
		answer                         []string // parts of the response
		sent                           []string // prefixes of receiver and message
	}{
		{"one", "secret", "application/json", one, http.StatusAccepted, []string{`{"id":"`}, []string{`g {"id":"`}},
		{"many", "secret", "application/x-ndjson", one + "\n" + all + "\n", http.StatusOK,
			[]string{`-1"}`, `-2"}`}, []string{`g {"id":"`, `all {"id":"`}},
		{"many, and one that is none", "secret", "application/x-ndjson", all + "\n{}\n", http.StatusOK,
			[]string{`-1"}`, `"error":`}, []string{`all {"id":"`}},
		{"no JSON", "secret", "application/json", "{", http.StatusBadRequest, nil, nil},
		{"a group", "secret", "application/json", `{"group":"a","type":"t"}`, http.StatusBadRequest, []string{errNarrow.Error()}, nil},
		{"another's token", "guess", "application/json", all, http.StatusUnauthorized, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m memory
			r := httptest.NewRequest(http.MethodPost, apiRoot+"/events", strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer "+tt.token)
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			New(&m).Handler("secret").ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("status %d; want %d", w.Code, tt.status)
			}
			for _, part := range tt.answer {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("the answer is %q; want %q in it", w.Body, part)
				}
			}
			if !slices.EqualFunc(m.sent, tt.sent, strings.HasPrefix) {
				t.Errorf("sent %q; want %q", m.sent, tt.sent)
			}
		})
	}
}

func TestConns(t *testing.T) {
	var s Conns[int]
	s.Add("a", 1)
	s.Add("a", 2)
	s.Add("b", 3)
	before := s.Of("a")
	s.Remove("a", 1)
	s.Remove("b", 1)
	s.Remove("c", 1)
	s.Add("a", 4)
	if want := []int{1, 2}; !slices.Equal(before, want) {
		t.Errorf("the earlier result changed to %v; want %v", before, want)
	}
	if got, want := s.Of("a"), []int{2, 4}; !slices.Equal(got, want) {
		t.Errorf("gateway a has %v; want %v", got, want)
	}
	if got, want := slices.Sorted(s.All()), []int{2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("all are %v; want %v", got, want)
	}
	if got := s.Of("c"); len(got) != 0 {
		t.Errorf("an unknown gateway has %v", got)
	}
}
