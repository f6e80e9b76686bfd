// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestSessionCheck(t *testing.T) {
	events := []int64{2, 3, 5, 8}
	for _, tt := range []struct {
		name string
		got  []int64
		want string // part of the error; empty: no error
	}{
		{"all", []int64{2, 3, 5, 8}, ""},
		{"up to its end", []int64{2, 3}, ""},
		{"nothing", nil, ""},
		{"one missing", []int64{2, 5, 8}, "events [5 8] instead of [3 5 8]"},
		{"the first missing", []int64{3}, "events [3] instead"},
		{"one twice", []int64{2, 2, 3}, "events [2 3] instead"},
		{"another's", []int64{2, 3, 4}, "events [4] instead"},
		{"one more", []int64{2, 3, 5, 8, 9}, "events [9] instead"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &session{peer: &peer{gateway: 3}, numbers: tt.got}
			err := s.check(events)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error with %q", err, tt.want)
			}
		})
	}
}

const ackWithCursor = `{"type":"connection.ack","gatewayId":"g","cursor":"k3f9-7","resumed":false}`

// startSession starts a session with a server that sends frames after the upgrade, and closes the
// connection at the end of the test.
func startSession(t *testing.T, sent string) *session {
	t.Helper()
	over := make(chan struct{})
	target := script(t, func(nc net.Conn, _ *bufio.Reader) {
		_, _ = io.WriteString(nc, accepts+sent)
		<-over
	})
	t.Cleanup(func() { close(over) })
	s, err := dialSession(t.Context(), target, someGateway)
	if err != nil {
		t.Fatal(err)
	}
	go s.run(func(stamp) {})
	return s
}

func TestSessionReceives(t *testing.T) {
	// The first event follows the ack directly, so one read can return both.
	s := startSession(t, text(ackWithCursor, numbered(2), numbered(3), numbered(8)))
	if s.cursor.Seq != 7 {
		t.Errorf("it begins at %v; want k3f9-7", s.cursor)
	}
	if err := s.await(t.Context(), []int64{2, 3, 8}); err != nil {
		t.Error(err)
	}
	s.leave()
	if want := []int64{2, 3, 8}; !slices.Equal(s.numbers, want) {
		t.Errorf("received %v; want %v", s.numbers, want)
	}
}

func TestSessionAwaitFails(t *testing.T) {
	t.Run("with the context", func(t *testing.T) {
		s := startSession(t, text(ackWithCursor))
		defer s.leave()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.await(ctx, []int64{1}); err == nil {
			t.Error("event 1, which was not sent: no error")
		}
	})
	t.Run("with the session", func(t *testing.T) {
		s := startSession(t, text(ackWithCursor, numbered(2), numbered(1)))
		if err := s.await(t.Context(), []int64{3}); err == nil || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("%v; want an error that event 1 is out of order", err)
		}
	})
}

func TestDialSessionWithoutCursor(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	target := script(t, func(nc net.Conn, _ *bufio.Reader) {
		_, _ = io.WriteString(nc, greeting)
		<-over
	})
	if _, err := dialSession(t.Context(), target, someGateway); err == nil || !strings.Contains(err.Error(), "cursor") {
		t.Errorf("%v; want an error that the ack has no cursor", err)
	}
}
