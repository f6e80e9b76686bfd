// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/test/hostile"
)

// An outcome is the expected result of an attack: the possible endings for the attacker, and the
// metric that counts it.
type outcome struct {
	endings []hostile.Ending
	counted string
}

func connects(result string) string { return fmt.Sprintf("gatecast_connects_total{result=%q}", result) }

func disconnects(reason string) string {
	return fmt.Sprintf("gatecast_disconnects_total{reason=%q}", reason)
}

// ends returns an outcome.
func ends(counted string, endings ...hostile.Ending) outcome { return outcome{endings, counted} }

var outcomes = map[string]outcome{
	"sends nothing":                       ends(connects("tls_failed"), hostile.Gone),
	"TLS handshake byte by byte":          ends(connects("tls_failed"), hostile.Gone),
	"unfinished handshake":                ends(connects("tls_failed"), hostile.Stopped),
	"handshake without a request":         ends(connects("incomplete"), hostile.Stopped),
	"connects and resets":                 ends(connects("tls_failed"), hostile.Stopped),
	"no TLS at all":                       ends(connects("bad_request"), hostile.Answered(400), hostile.Gone), // the attacker may still write when the node closes
	"noise":                               ends(connects("tls_failed"), hostile.Gone),
	"TLS record of 65,535 bytes":          ends(connects("tls_failed"), hostile.Gone),
	"flood of TLS alerts":                 ends(connects("tls_failed"), hostile.Gone),
	"empty TLS records":                   ends(connects("tls_failed"), hostile.Gone),
	"request line byte by byte":           ends(connects("incomplete"), hostile.Gone),
	"headers byte by byte":                ends(connects("incomplete"), hostile.Gone),
	"headers of 64 KiB":                   ends(connects("bad_request"), hostile.Answered(400)),
	"request line without an end":         ends(connects("bad_request"), hostile.Answered(400)),
	"HTTP/2":                              ends(connects("bad_request"), hostile.Answered(400)),
	"guesses tokens":                      ends(connects("unauthorized"), hostile.Answered(401)),
	"10,000 requests in a row":            ends(connects("http"), hostile.Answered(200)),
	"connects as a gateway and resets":    ends(disconnects("connection_lost"), hostile.Stopped),
	"never answers pings":                 ends(disconnects("heartbeat_timeout"), hostile.Gone),
	"half-closed connection":              ends(disconnects("connection_lost"), hostile.Gone),
	"incomplete frame header":             ends(disconnects("heartbeat_timeout"), hostile.Gone),
	"frame byte by byte":                  ends(disconnects("heartbeat_timeout"), hostile.Gone),
	"frame of 2^62 bytes":                 ends(disconnects("message_too_big"), hostile.Closed(frame.CloseMessageTooBig)),
	"a million empty fragments":           ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"fragments of a byte":                 ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"flood of pings":                      ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"flood of pongs":                      ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"flood of messages":                   ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"flood of large messages":             ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"JSON nested 30,000 deep":             ends(disconnects("invalid_data"), hostile.Closed(frame.CloseInvalidData)),
	"never reads":                         ends(disconnects("slow_consumer"), hostile.Closed(frame.CloseTryAgainLater), hostile.Gone),
	"zero receive window":                 ends(disconnects("slow_consumer"), hostile.Closed(frame.CloseTryAgainLater), hostile.Gone),
	"flood of key updates":                ends(disconnects("connection_lost"), hostile.Alerted("unexpected message")),
	"key updates with pongs between":      ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"pongs in a record each":              ends(disconnects("rate_exceeded"), hostile.Closed(frame.ClosePolicyViolation)),
	"records without data":                ends(disconnects("connection_lost"), hostile.Alerted("unexpected message")),
	"record that is too long":             ends(disconnects("connection_lost"), hostile.Alerted("record overflow")),
	"record cut off":                      ends(disconnects("connection_lost"), hostile.Gone),
	"record forged":                       ends(disconnects("connection_lost"), hostile.Alerted("bad record MAC")),
	"another handshake in the connection": ends(disconnects("connection_lost"), hostile.Alerted("unexpected message")),
}

// attackTimeout is longer than any attack takes.
const attackTimeout = time.Minute

// Each attack ends as expected, is counted, and leaves no connection.
func TestAttacks(t *testing.T) {
	for _, a := range hostile.All() {
		t.Run(a.Name, func(t *testing.T) {
			want, ok := outcomes[a.Name]
			if !ok {
				t.Fatal("this attack has no expected outcome")
			}
			t.Parallel()
			_, target := startServer(t, nil, 100, "--ping-interval", "1", "--connection-timeout", "3")
			before := metrics(t, target)
			ctx, cancel := context.WithTimeout(t.Context(), attackTimeout)
			defer cancel()
			how, err := a.Once(ctx, target)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(want.endings, how) {
				t.Errorf("it ended with %q, want %q", how, want.endings)
			}
			if ctx.Err() != nil {
				t.Error("the node did not end the connection")
			}
			settle(t, target, before, want.counted)
		})
	}
	for name := range outcomes {
		if !slices.ContainsFunc(hostile.All(), func(a hostile.Attack) bool { return a.Name == name }) {
			t.Errorf("outcomes has %q, which is not an attack", name)
		}
	}
}

const settleTimeout = 30 * time.Second

// settle waits until an attack was counted once and its connection is closed.
func settle(t *testing.T, target hostile.Target, before map[string]float64, counted string) {
	t.Helper()
	var now map[string]float64
	for deadline := time.Now().Add(settleTimeout); ; {
		now = metrics(t, target)
		if now[counted] == before[counted]+1 && now["gatecast_connections"] == 0 && now["gatecast_handshakes_in_flight"] == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%s grew by %v, want 1; %v connections and %v handshakes are open", counted,
		now[counted]-before[counted], now["gatecast_connections"], now["gatecast_handshakes_in_flight"])
}
