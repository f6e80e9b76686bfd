// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's own, of the examples' nodes. They end some seconds after its server.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}

const testToken = "gca_secret"

const receiptText = `{"id":"k3f9-1042","correlationId":"c","timestamp":"2026-01-02T03:04:05.000000006Z","targets":2,"connected":1}`

// A request is what the fake node has received.
type request struct {
	method, path, key, contentType, token, body string
}

// A fakeNode answers requests by a script and records them.
type fakeNode struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

// An answerFunc answers the request with this number, from 0. The body is read already.
type answerFunc func(w http.ResponseWriter, r *http.Request, n int)

func newFake(t *testing.T, answer answerFunc) *fakeNode {
	f := new(fakeNode)
	f.Server = httptest.NewServer(f.handler(answer))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeNode) handler(answer answerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		n := len(f.requests)
		f.requests = append(f.requests, request{
			r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), r.Header.Get("Content-Type"),
			strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), string(body),
		})
		f.mu.Unlock()
		answer(w, r, n)
	})
}

// received returns the requests so far.
func (f *fakeNode) received() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// client returns a client of the node that waits a millisecond between attempts.
func (f *fakeNode) client(t *testing.T, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{URL: f.URL, Token: testToken, BackoffMin: time.Millisecond, BackoffMax: time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	return newClient(t, cfg)
}

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q,"message":"no","field":"type"}`, code)
}

func ok(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

// cut ends the connection without a response.
func cut() { panic(http.ErrAbortHandler) }

// cancelOnRetry makes a client's first retry cancel the context.
func cancelOnRetry(t *testing.T, waits *[]time.Duration) (context.Context, func(*Config)) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, func(c *Config) {
		c.OnRetry = func(_ error, wait time.Duration) { *waits = append(*waits, wait); cancel() }
	}
}
