// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/gatecast/gatecast/internal/delivery"
)

// A reportedMessage is one of GET /messages.
type reportedMessage struct {
	ID, Type, GatewayID, Timestamp string
	Missing                        int
	Payload                        struct{ N int }
}

// messagesAfter returns what GET /messages gives, from a position on and to its end.
func (s *system) messagesAfter(after, query string) (all []reportedMessage, cursor string) {
	s.t.Helper()
	for {
		var page struct {
			Messages []reportedMessage
			Cursor   string
		}
		if status := s.call("GET", root+"/messages?limit=7&after="+after+query, "", &page); status != 200 {
			s.t.Fatalf("GET /messages: %d", status)
		}
		all, after = append(all, page.Messages...), page.Cursor
		if len(page.Messages) == 0 {
			return all, after
		}
	}
}

// A gateway that sends very much loses its own oldest messages and no others, and the
// platform gets a gap for those that are missing.
func TestOneGatewayDoesNotEvictOthers(t *testing.T) {
	cfg := config(t)
	cfg.Plaintext = true
	cfg.RetentionBytes = delivery.MinJournalBytes
	cfg.ReadLimitMessages, cfg.ReadLimitBytes = 0, 0
	s := start(t, cfg)
	loudToken, _ := s.gateway("loud")
	quietToken, _ := s.gateway("quiet")
	loud, quiet := s.connect(loudToken), s.connect(quietToken)
	quiet.say(`{"type":"deployment.ack","payload":{"deploymentId":"q","status":"success","n":1}}`)
	var first []reportedMessage
	var cursor string
	eventually(t, "the first message is there", func() bool { first, cursor = s.messagesAfter("", ""); return len(first) == 1 })
	const n = 300 // 18 MB, in a journal of 4 MiB
	long := strings.Repeat("x", 60_000)
	go func() { // in order, and the answers are awaited below
		for i := range n {
			if loud.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"type":"deployment.ack","payload":{"deploymentId":"l","n":%d,"long":"%s"}}`, i+1, long)) != nil {
				return
			}
		}
	}()
	var all []reportedMessage
	eventually(t, "the last message is there", func() bool {
		newest, _ := s.messagesAfter(cursor, "&type=deployment.ack")
		return len(newest) > 0 && newest[len(newest)-1].Payload.N == n
	})
	eventually(t, "as many as are too many are gone", func() bool { all, _ = s.messagesAfter("", ""); return len(all) <= 11 })
	if all[0].GatewayID != "quiet" || all[0].Payload.N != 1 {
		t.Errorf("the quiet gateway's message is gone; the first is %+v", all[0])
	}
	check := func(what string, list []reportedMessage) {
		t.Helper()
		if list[0].Type != "gap" || list[0].Missing == 0 || list[0].GatewayID != "" || list[0].Timestamp == "" {
			t.Fatalf("%s: no gap, but %+v", what, list[0])
		}
		kept := list[1:]
		if len(kept) < 4 || len(kept) > 9 || list[0].Missing+len(kept) != n {
			t.Errorf("%s: %d are missing, and %d are there", what, list[0].Missing, len(kept))
		}
		for i, m := range kept {
			if m.GatewayID != "loud" || m.Payload.N != list[0].Missing+i+1 {
				t.Errorf("%s: message %d of %d is %s's %d", what, i, len(kept), m.GatewayID, m.Payload.N)
			}
		}
	}
	check("all", all[1:])
	rest, _ := s.messagesAfter(cursor, "")
	check("after what was read", rest)
	acks, _ := s.messagesAfter(cursor, "&type=deployment.ack")
	check("of one type", acks)
	rest, _ = s.messagesAfter(rest[0].ID, "")
	if len(rest) == 0 || rest[0].Type == "gap" {
		t.Errorf("after the gap: %+v", rest)
	}
}
