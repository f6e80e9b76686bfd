// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The transport reaches a platform with TLS, over HTTP/2 where the platform has it, and
// trusts only the given authorities.
func TestTransportTLS(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Proto)
		}))
		server.EnableHTTP2 = h2
		server.StartTLS()
		defer server.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		transport, err := NewTransport(ca)
		if err != nil {
			t.Fatal(err)
		}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[h2]; string(body) != want {
			t.Errorf("the platform saw %s, want %s", body, want)
		}
		stranger, err := NewTransport("")
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := (&http.Client{Transport: stranger}).Get(server.URL); err == nil {
			_ = resp.Body.Close()
			t.Error("trusts an unknown authority")
		}
	}
}

// A platform that accepts TCP and never does the TLS handshake fails the connection when
// the time for all of it has passed.
func TestConnectTimeoutIncludesTLS(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := &dialer{timeout: 50 * time.Millisecond, tls: new(tls.Config)}
	if c, err := d.dialTLS(context.Background(), "tcp", ln.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", c, err)
	}
}

// The times to connect are limited to 10 s in all, and the time to answer is not.
func TestTransportTimeouts(t *testing.T) {
	transport, err := NewTransport("")
	if err != nil {
		t.Fatal(err)
	}
	if connectTimeout != 10*time.Second || transport.ResponseHeaderTimeout != 0 {
		t.Errorf("%v to connect, %v to answer", connectTimeout, transport.ResponseHeaderTimeout)
	}
}
