// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A publish is repeated with the same key and the same bytes until there is a receipt.
func TestPublishRepeats(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		switch n {
		case 0:
			cut()
		case 1:
			refuse(w, 503, "unavailable")
		case 2:
			w.WriteHeader(502) // a proxy's
		case 3:
			w.WriteHeader(202)
			ok(w, receiptText[:20]) // then the connection ends
			cut()
		default:
			w.WriteHeader(202)
			ok(w, receiptText)
		}
	})
	receipt, err := f.client(t).Publish(t.Context(), Event{
		OrganizationID: "acme", Type: "api.deployed", Payload: json.RawMessage(`{"a": "<&\u2028>", "a": 1e400}`), Key: "weather",
		Fields: map[string]any{"userId": "u-1"},
	})
	if err != nil || receipt.ID != "k3f9-1042" || receipt.Targets != 2 || receipt.Connected != 1 || receipt.Timestamp.Nanosecond() != 6 {
		t.Fatalf("%+v, %v", receipt, err)
	}
	got := f.received()
	if len(got) != 5 {
		t.Fatalf("%d requests, want 5", len(got))
	}
	first := got[0]
	if len(first.key) < 20 || first.token != testToken || first.contentType != "application/json" || first.path != "/api/internal/v1/events" {
		t.Errorf("%+v", first)
	}
	if !strings.HasPrefix(first.body, `{"organizationId":"acme","type":"api.deployed","payload":{"a":"<&\u2028>","a":1e400},"fields":{"userId":"u-1"},"correlationId":"`) {
		t.Errorf("body %s", first.body)
	}
	for n, r := range got {
		if r != first {
			t.Errorf("request %d is %+v, want %+v", n, r, first)
		}
	}
}

// Two publishes have two keys, unless the caller sets one.
func TestPublishKeys(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(202); ok(w, receiptText) })
	c := f.client(t)
	for _, key := range []string{"", "", "mine"} {
		if _, err := c.Publish(t.Context(), Event{All: true, Type: "t", CorrelationID: "c", IdempotencyKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	got := f.received()
	if got[0].key == got[1].key || got[2].key != "mine" || got[2].body != `{"all":true,"type":"t","correlationId":"c"}`+"\n" {
		t.Errorf("%+v", got)
	}
}

// An error that does not pass ends a publish at once.
func TestPublishPermanent(t *testing.T) {
	for _, status := range []int{301, 400, 401, 403, 404, 409, 413, 415, 422} {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { refuse(w, status, "some_code") })
		_, err := f.client(t).Publish(t.Context(), Event{All: true, Type: "t"})
		e, ok := errors.AsType[*Error](err)
		if !ok || *e != (Error{Status: status, Code: "some_code", Message: "no", Field: "type"}) || Temporary(err) || len(f.received()) != 1 {
			t.Errorf("%d: %v after %d requests", status, err, len(f.received()))
		}
		if err.Error() != "some_code: no" {
			t.Errorf("%v", err)
		}
	}
	f := newFake(t, func(http.ResponseWriter, *http.Request, int) {})
	if _, err := f.client(t).Publish(t.Context(), Event{All: true, Type: "t", Payload: func() {}}); err == nil || len(f.received()) > 0 {
		t.Errorf("a payload that is not JSON: %v", err)
	}
}

// A retry waits as long as the node asks for.
func TestRetryAfter(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Retry-After", "7")
		refuse(w, 503, "draining")
	})
	var waits []time.Duration
	ctx, hook := cancelOnRetry(t, &waits)
	_, err := f.client(t, hook).Publish(ctx, Event{All: true, Type: "t"})
	if len(waits) != 1 || waits[0] < 7*time.Second || waits[0] > 7*time.Second+time.Millisecond {
		t.Errorf("waits %v", waits)
	}
	// The end of the context is the error, with the reason of the last attempt.
	if e, ok := errors.AsType[*Error](err); !errors.Is(err, context.Canceled) || !ok || e.Code != "draining" || e.RetryAfter != 7*time.Second {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), testToken) {
		t.Errorf("the error contains the token: %v", err)
	}
}

// An attempt without a response is given up and repeated.
func TestAttemptTimeout(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 0 {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(202)
		ok(w, receiptText)
	})
	c := f.client(t, func(c *Config) { c.AttemptTimeout = 20 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if r, err := c.Publish(ctx, Event{All: true, Type: "t"}); err != nil || r.ID == "" {
		t.Errorf("%v, %v", r, err)
	}
}

// A client trusts the certificates of a file. An unknown one ends a call at once.
func TestPrivateCA(t *testing.T) {
	f := new(fakeNode)
	f.Server = httptest.NewUnstartedServer(f.handler(func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(202); ok(w, receiptText) }))
	f.Config.ErrorLog = log.New(t.Output(), "", 0)
	f.StartTLS()
	t.Cleanup(f.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client(t, func(c *Config) { c.CAFile = file }).Publish(t.Context(), Event{All: true, Type: "t"}); err != nil {
		t.Error(err)
	}
	_, err := f.client(t).Publish(t.Context(), Event{All: true, Type: "t"})
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("%v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	_ = os.WriteFile(empty, nil, 0o600)
	for _, file := range []string{empty, empty + ".not"} {
		if _, err := New(Config{URL: f.URL, CAFile: file}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%v", err)
		}
	}
}

// The token is the first one of the file that is not a digest. A new file counts at once.
func TestTokenFile(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { ok(w, `{"tokens":[]}`) })
	file := filepath.Join(t.TempDir(), "admin.token")
	c := f.client(t, func(c *Config) { c.Token, c.TokenFile = "", file })
	if _, err := c.Tokens(t.Context(), "edge"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	for _, tt := range []struct{ text, want string }{
		{"one\n", "one"},
		{"\ufefftwo", "two"},
		{"# tokens\r\n\nci publish sha256:abcd\nplatform publish,read three\r\nfour\n", "three"},
		{"\n", ""},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := len(f.received())
		_, err := c.Tokens(t.Context(), "edge")
		got := f.received()[before:]
		if (err != nil) != (tt.want == "") || tt.want != "" && (len(got) != 1 || got[0].token != tt.want) {
			t.Errorf("%q: %v, %+v", tt.text, err, got)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		says string
	}{
		{Config{}, "scheme"},
		{Config{URL: "wss://h"}, `scheme "wss"`},
		{Config{URL: "http://"}, "no host"},
		{Config{URL: "http://secret@h"}, "contains a user"},
		{Config{URL: "http://h/?secret"}, "a query"},
		{Config{URL: "http://secret h"}, "not a URL"},
		{Config{URL: "http://h", Token: "secret\n"}, "line break"},
		{Config{URL: "http://h", Token: "secret", TokenFile: "f"}, "both Token and TokenFile"},
		{Config{URL: "http://h", TLS: new(tls.Config), CAFile: "f"}, "both TLS and CAFile"},
		{Config{URL: "http://h", BackoffMin: 2, BackoffMax: 1}, "BackoffMin"},
		{Config{URL: "http://h", AttemptTimeout: -1}, "AttemptTimeout"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
}

// Ready sends no token.
func TestReady(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		if n > 0 {
			refuse(w, 503, "draining")
		}
	})
	c := f.client(t, func(c *Config) { c.URL += "/node/" })
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Ready(t.Context()); !Temporary(err) {
		t.Errorf("%v", err)
	}
	if r := f.received()[0]; r.token != "" || r.path != "/node/ready" {
		t.Errorf("%+v", r)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999": time.Hour,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}
