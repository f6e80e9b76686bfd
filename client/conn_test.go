// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/frame"

	"github.com/google/go-cmp/cmp"
)

func TestConversation(t *testing.T) {
	c := dialTLS(t, func(p *peer, r *http.Request) {
		if r.URL.Path != DefaultPath || r.Header.Get("api-key") != testToken {
			t.Errorf("asked for %s with api-key %q", r.URL, r.Header.Get("api-key"))
		}
		p.ack()
		p.event(1042)
		p.pinged("ping")
		p.event(1043)
		p.close(CloseTryAgainLater, "slow consumer")
		p.closed(CloseTryAgainLater)
	})
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	if diff := cmp.Diff(Ack{"gw-1", connectionID, at, "k3f9-1041", false}, c.Accepted()); diff != "" {
		t.Errorf("ack (-want +got):\n%s", diff)
	}
	want := Event{
		ID: "k3f9-1042", Type: "api.deployed", Payload: []byte(`{"n":1042}`), GatewayID: "gw-1",
		Timestamp: at.Truncate(time.Second), CorrelationID: "x", Raw: []byte(eventText(1042)),
	}
	first, err := c.Next(t.Context())
	if diff := cmp.Diff(want, first); diff != "" || err != nil {
		t.Errorf("event: %v (-want +got):\n%s", err, diff)
	}
	if second, err := c.Next(t.Context()); err != nil || second.ID != "k3f9-1043" {
		t.Errorf("second event: %v, %v", second, err)
	}
	for range 2 { // each call returns the same error
		_, err := c.Next(t.Context())
		if e, ok := errors.AsType[*CloseError](err); !ok || *e != (CloseError{1013, "slow consumer"}) {
			t.Errorf("the end: %v", err)
		}
	}
}

// An event's own envelope fields are those that the server did not make.
func TestEventFields(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`{"id":"k-1","type":"t","payload":{"userId":"p"},"timestamp":"2026-01-02T03:04:05Z","correlationId":"c"}`: nil,
		`{"id":"k-1","type":"t","payload":1,"userId":"u","n":{"a":[1]},"é":null,"gatewayId":"g","timestamp":"2026-01-02T03:04:05Z","correlationId":"c","gatecastX":1,"traceparent":"x"}`: {
			"userId": `"u"`, "n": `{"a":[1]}`, "é": `null`,
		},
		`{"type":"resync.required","reason":"not_retained","cursor":"k-1"}`: nil,
	} {
		e, err := parseEvent([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		for name, value := range e.Fields() {
			if got == nil {
				got = make(map[string]string)
			}
			got[name] = string(value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseEventTraceparent(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	text := strings.TrimSuffix(eventText(7), "}") + `,"traceparent":"` + parent + `"}`
	if e, err := parseEvent([]byte(text)); err != nil || e.Traceparent != parent || e.CorrelationID != "x" {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err := parseEvent([]byte(eventText(7))); err != nil || e.Traceparent != "" {
		t.Errorf("without: %+v, %v", e, err)
	}
}

// Frames that arrive in the same segment as the response are not lost.
func TestFramesWithResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg, ctx := servePipes(t, func(conn net.Conn) {
			var response strings.Builder
			server := &peer{t: t, conn: conn}
			upgradeInto(t, conn, &response)
			wire := frame.Append([]byte(response.String()), frame.OpText, []byte(ackText))
			server.write(frame.Append(wire, frame.OpText, []byte(eventText(7))))
			server.closedNormally()
		})
		c, err := Dial(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := c.Next(ctx); err != nil || e.ID != "k3f9-7" {
			t.Errorf("got %v, %v", e, err)
		}
		_ = c.Close()
	})
}

func TestServerBreaksProtocol(t *testing.T) {
	masked := frame.AppendMasked(nil, frame.OpText, []byte(ackText), [4]byte{1, 2, 3, 4})
	for _, tt := range []struct {
		name string
		do   func(*peer)
		want CloseCode
		text string
	}{
		{"masked frame", func(p *peer) { p.write(masked) }, CloseProtocolError, "masked"},
		{"binary", func(p *peer) { p.write(frame.Append(nil, frame.OpBinary, nil)) }, CloseUnsupportedData, "binary"},
		{"not UTF-8", func(p *peer) { p.text("\xff") }, CloseInvalidData, "UTF-8"},
		{"not JSON", func(p *peer) { p.text("hello") }, CloseInvalidData, "not an event"},
		{"too big", func(p *peer) { p.write(frame.AppendHeader(nil, frame.OpText, 8<<20+1)) }, CloseMessageTooBig, "too big"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dialTLS(t, func(p *peer, _ *http.Request) {
				p.ack()
				p.event(1)
				tt.do(p)
				p.closed(tt.want)
			})
			if _, err := c.Next(t.Context()); err != nil {
				t.Fatalf("the event before: %v", err)
			}
			if _, err := c.Next(t.Context()); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want something about %q", err, tt.text)
			}
		})
	}
}

func TestFirstMessageIsNotAck(t *testing.T) {
	for _, tt := range []struct {
		name, first, want string
	}{
		{"an event", eventText(1), `"api.deployed", want a connection.ack`},
		{"not JSON", "hello", "not an ack"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dial(t.Context(), serveTLS(t, func(p *peer, _ *http.Request) {
				p.text(tt.first)
				p.closed(ClosePolicyViolation)
			}))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
}

func TestClosedBeforeAck(t *testing.T) {
	_, err := Dial(t.Context(), serveTLS(t, func(p *peer, _ *http.Request) {
		p.close(CloseInternalError, "")
		p.closed(CloseInternalError)
	}))
	if e, ok := errors.AsType[*CloseError](err); !ok || e.Code != CloseInternalError {
		t.Errorf("got %v", err)
	}
}

func TestClose(t *testing.T) {
	c := dialTLS(t, func(p *peer, _ *http.Request) {
		p.ack()
		p.event(1)
		m := p.read()
		if code, _ := frame.ParseClose(m.Payload); CloseCode(code) != CloseNormal {
			t.Errorf("client closed with %d, want 1000", code)
		}
		p.event(2) // sent before the server read the close frame
		p.close(CloseNormal, "")
		p.ended()
	})
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if e, err := c.Next(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Next after Close: %v, %v", e, err)
	}
}

// Close does not wait for a server that does not answer.
func TestCloseWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg, ctx := servePipes(t, upgraded(t, func(p *peer) { p.closed(CloseNormal) }))
		c, err := Dial(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = c.Close()
		if took := time.Since(start); took != closeWait {
			t.Errorf("Close took %v, want %v", took, closeWait)
		}
	})
}

func TestConnectionLost(t *testing.T) {
	c := dialTLS(t, func(p *peer, _ *http.Request) { p.ack() })
	if _, err := c.Next(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	send := make(chan struct{})
	c := dialTLS(t, func(p *peer, _ *http.Request) {
		p.ack()
		<-send
		p.event(1)
		p.closedNormally()
	})
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := c.Next(ctx); err != enough {
		t.Errorf("Next with a context that has ended: %v", err)
	}
	close(send)
	if e, err := c.Next(t.Context()); err != nil || e.ID != "k3f9-1" {
		t.Errorf("got %v, %v", e, err)
	}
	_ = c.Close()
}

// A connection without any frame counts as lost; pings keep it alive.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pings = 10
		_, cfg, ctx := servePipes(t, upgraded(t, func(p *peer) {
			for range pings {
				time.Sleep(20 * time.Second)
				p.pinged("")
			}
			p.ended()
		}))
		c, err := Dial(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = c.Next(ctx)
		if err == nil || !strings.Contains(err.Error(), "sent nothing for 1m0s") {
			t.Errorf("got %v", err)
		}
		if lived, want := time.Since(start), pings*20*time.Second+time.Minute; lived != want {
			t.Errorf("connection lived %v, want %v", lived, want)
		}
		_ = c.Close()
	})
}

// Pings are answered while nobody calls Next, so a slow handler keeps its connection.
func TestPingsAnsweredWhileEventsWait(t *testing.T) {
	answered := make(chan struct{})
	c := dialTLS(t, func(p *peer, _ *http.Request) {
		p.ack()
		for n := range 100 {
			p.event(n)
		}
		p.pinged("after all events")
		close(answered)
		p.closedNormally()
	})
	<-answered
	for n := range 100 {
		if e, err := c.Next(t.Context()); err != nil || string(e.Raw) != eventText(n) {
			t.Fatalf("event %d: %s, %v", n, e.Raw, err)
		}
	}
	_ = c.Close()
}
