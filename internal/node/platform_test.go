// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/certs"
)

// gatewayClient is a client of the gateways' port, over TLS.
func gatewayClient(t *testing.T) *http.Client {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// What a gateway asks for besides its connection is the platform's to answer, as
// the gateway asked it and as the platform answers.
func TestPlatform(t *testing.T) {
	release := make(chan struct{})
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/internal/v1/gateways/g/manifest":
			n, _ := io.Copy(io.Discard, r.Body)
			if n != 3<<20 || r.Header.Get("api-key") != "secret" || r.Header.Get("X-Forwarded-Proto") != "https" ||
				r.Header.Get("X-Forwarded-Host") != "gatecast.test" || !strings.HasPrefix(r.Header.Get("X-Forwarded-For"), "127.0.0.1") {
				t.Errorf("%d bytes with %v", n, r.Header)
			}
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, "no such gateway")
		case "/slow":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "first")
			w.(http.Flusher).Flush()
			<-release
			_, _ = io.WriteString(w, " second")
			w.Header().Set("X-Sum", "7")
		default:
			http.NotFound(w, r)
		}
	}))
	defer platform.Close()
	cfg := config(t)
	cfg.PlatformURL = platform.URL
	s := start(t, cfg)
	root := "https://" + s.GatewayAddr().String()
	client := gatewayClient(t)

	req, _ := http.NewRequest(http.MethodPost, root+"/api/internal/v1/gateways/g/manifest", bytes.NewReader(make([]byte, 3<<20)))
	req.Host = "gatecast.test"
	req.Header.Set("api-key", "secret")
	req.Header.Set("Expect", "100-continue")
	req.Header.Set("X-Forwarded-For", "6.6.6.6") // of nobody we trust
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusConflict || string(body) != "no such gateway" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}

	resp, err = client.Get(root + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Fatalf("%q, %v: it does not stream", first, err)
	}
	close(release)
	rest, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(rest) != " second" || resp.Trailer.Get("X-Sum") != "7" {
		t.Errorf("%q with %v", rest, resp.Trailer)
	}

	for path, want := range map[string]int{"/health": 200, "/api/internal/v1/apis/1": 404, "/nothing": 404} {
		resp, err := client.Get(root + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}

	// The connection is the node's all the same.
	token, _ := s.gateway("g")
	s.connect(token)

	platform.CloseClientConnections()
	platform.Close()
	resp, err = client.Get(root + "/api/internal/v1/apis/1")
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), "bad_gateway") {
		t.Errorf("without a platform: %d %s", resp.StatusCode, body)
	}
}

// writePair writes a fresh key pair where one is, and returns its serial number.
func writePair(t *testing.T, cert, key string) string {
	t.Helper()
	newCert, newKey, err := certs.EnsureSelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{newCert: cert, newKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

// New connections get a new certificate; those that are there stay; a bad pair
// changes nothing.
func TestCertificatesReload(t *testing.T) {
	cfg := config(t)
	dir := t.TempDir()
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	first := writePair(t, cfg.TLSCert, cfg.TLSKey)
	s := start(t, cfg)
	token, _ := s.gateway("g")
	live := s.connect(token)
	served := s.serial
	if got := served(); got != first {
		t.Errorf("serves %s, want %s", got, first)
	}
	second := writePair(t, cfg.TLSCert, cfg.TLSKey)
	s.hide()
	s.Reload()
	eventually(t, "the new certificate is served", func() bool { return served() == second })
	if err := os.WriteFile(cfg.TLSKey, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Reload()
	third := s.publish("g", `1`)
	live.expect(third)
	if got := served(); got != second {
		t.Errorf("after a bad pair: serves %s, want %s", got, second)
	}
}

// A payload that does not fit its type is refused, with the place in it; a type that
// was added is known from the reload on.
func TestEventTypes(t *testing.T) {
	cfg := config(t)
	cfg.EventTypes = filepath.Join(t.TempDir(), "types.yaml")
	cfg.EventTypesStrict = true
	write := func(text string) {
		if err := os.WriteFile(cfg.EventTypes, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("api.deployed: {type: object, properties: {apiId: {type: string}}}")
	s := start(t, cfg)
	s.gateway("g")
	publish := func(eventType, payload string) (status int, field string) {
		var answer struct{ Field string }
		status = s.call("POST", root+"/events", `{"gatewayId":"g","type":"`+eventType+`","payload":`+payload+`}`, &answer)
		return status, answer.Field
	}
	for _, c := range []struct {
		name, eventType, payload string
		status                   int
		field                    string
	}{
		{"fits", "api.deployed", `{"apiId":"x"}`, 202, ""},
		{"does not fit", "api.deployed", `{"apiId":7}`, 422, "payload/apiId"},
		{"unknown", "api.gone", `{}`, 422, "type"},
	} {
		if status, field := publish(c.eventType, c.payload); status != c.status || field != c.field {
			t.Errorf("%s: %d %q, want %d %q", c.name, status, field, c.status, c.field)
		}
	}
	write("{api.deployed: true, api.gone: true}")
	s.Reload()
	eventually(t, "the new type is known", func() bool {
		status, _ := publish("api.gone", `{}`)
		return status == 202
	})
}
