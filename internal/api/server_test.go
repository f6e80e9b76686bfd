// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/test/spectest"

	"go.uber.org/goleak"
)

// A suite runs all tests, and then fails if a documented answer was not checked by any of them.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		if flag.Lookup(name).Value.String() != "" {
			return code // some of them
		}
	}
	if unseen := spectest.Unchecked(); code == 0 && len(unseen) > 0 {
		fmt.Printf("openapi.yaml has answers that no test is given:\n%s\n", strings.Join(unseen, "\n"))
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(suite{m},
		// fasthttp keeps one goroutine for the header Date, and one that looks
		// for idle workers every ten seconds ends at its next look.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

type outcome struct {
	reply
	err error
}

// publishAside publishes on another goroutine.
func (r *rig) publishAside() <-chan outcome {
	req := r.request("POST", prefix+"/events", strings.NewReader(good))
	done := make(chan outcome, 1)
	go func() {
		got, err := r.try(req)
		done <- outcome{got, err}
	}()
	return done
}

func TestShutdownAnswersPublishInProgress(t *testing.T) {
	r := start(t)
	r.log.close()
	answers := r.publishAside()
	<-r.log.blocked
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(context.Background()) }()
	until(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	r.log.open()
	if got := <-answers; got.err != nil || got.status != http.StatusAccepted {
		t.Errorf("%d %s, %v", got.status, got.body, got.err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestServeAfterShutdown(t *testing.T) {
	s := start(t).Server
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the listener is open")
	}
}

func TestShutdownDoesNotWaitForSilentConnections(t *testing.T) {
	r := start(t)
	r.dial()
	until(t, "it is accepted", func() bool { return r.openConns() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsOffSlowRequests(t *testing.T) {
	r := start(t)
	r.log.close()
	answers := r.publishAside()
	<-r.log.blocked
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if got := <-answers; got.err == nil && got.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestSlowBodiesAreTimedOut(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.read = 100 * time.Millisecond })
	got := r.raw("POST " + prefix + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminToken +
		"\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat(" ", 8900))
	if got.status != 408 || !strings.HasPrefix(got.body, `{"error":"request_timeout"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := r.raw("POST " + prefix + "/events HTTP/1.1\r\nHo"); got.status != 408 {
		t.Errorf("a header: %d %s", got.status, got.body)
	}
}
