// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// crowd connects many times with one token, and returns the connections.
func (s *system) crowd(token string, many int) []*replica {
	s.t.Helper()
	replicas := make([]*replica, many)
	var wg sync.WaitGroup
	for first := range 16 {
		wg.Go(func() {
			for i := first; i < many; i += 16 {
				c, _, err := s.dial(token, "")
				if err != nil {
					s.t.Error(err)
					return
				}
				replicas[i] = &replica{described: c}
			}
		})
	}
	wg.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	for _, r := range replicas {
		s.t.Cleanup(func() { r.CloseNow() })
		r.ack = r.next()
	}
	return replicas
}

func size(full int) int {
	if testing.Short() {
		return full / 20
	}
	return full
}

// A new certificate costs nobody a connection; a token that is revoked costs all of
// its own, at once, and nobody else.
func TestThousand(t *testing.T) {
	cfg := config(t)
	cfg.MaxConnections = 2000
	cfg.ConnectionTimeout = 10 * time.Minute // a client answers pings when it reads, and they read one after the other
	dir := t.TempDir()
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	writePair(t, cfg.TLSCert, cfg.TLSKey)
	s := start(t, cfg)
	token, tokenID := s.gateway("g")
	other, _ := s.gateway("other")
	all, bystander := s.crowd(token, size(1000)), s.connect(other)

	want := writePair(t, cfg.TLSCert, cfg.TLSKey)
	s.Reload()
	eventually(t, "the new certificate is served", func() bool { return s.serial() == want })
	id := s.publish("g", `1`)
	for _, r := range all {
		r.expect(id)
	}
	t.Logf("a new certificate: %d connections, none dropped", len(all))

	took := closings(all, func() {
		if status := s.call(http.MethodDelete, fmt.Sprintf("%s/gateways/g/tokens/%s", root, tokenID), "", nil); status != 204 {
			t.Errorf("DELETE: %d", status)
		}
	})
	slices.Sort(took)
	t.Logf("from the DELETE of a token to the close frame at each of %d connections: first %v, median %v, last %v",
		len(took), took[0], took[len(took)/2], took[len(took)-1])
	bystander.expect(s.publish("other", `1`))
}

// serial returns the serial number of the certificate that new connections get.
func (s *system) serial() string {
	c, err := tls.Dial("tcp", s.GatewayAddr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// closings has do done, and returns how long after its beginning each connection was
// closed, with 1008.
func closings(all []*replica, do func()) []time.Duration {
	took := make([]time.Duration, len(all))
	ended := make([]error, len(all))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var began time.Time
	ready := make(chan struct{})
	for i, r := range all {
		wg.Go(func() {
			<-ready
			_, _, ended[i] = r.Read(ctx)
			took[i] = time.Since(began)
		})
	}
	began = time.Now()
	close(ready)
	do()
	wg.Wait()
	for i, r := range all {
		if code := websocket.CloseStatus(ended[i]); code != websocket.StatusPolicyViolation {
			r.t.Errorf("connection %d ended with %v", i, ended[i])
		}
	}
	return took
}
