// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// BenchmarkConnect is what it costs a client and a node in one process to connect,
// by how the client says who it is, one connection after the other.
func BenchmarkConnect(b *testing.B) {
	b.Run("token", func(b *testing.B) {
		s := start(b, config(b))
		token, _ := s.gateway("edge")
		s.connects(b, func(int) (string, *tls.Certificate) { return token, nil })
	})
	b.Run("certificate", func(b *testing.B) {
		a := newAuthority(b)
		cfg := config(b)
		cfg.TLSClientCA = filepath.Join(b.TempDir(), "ca.pem")
		a.file(cfg.TLSClientCA)
		s := start(b, cfg)
		s.gateway("edge")
		cert := a.client("edge", "", time.Now().Add(time.Hour))
		s.connects(b, func(int) (string, *tls.Certificate) { return "", &cert })
	})
	b.Run("verified", func(b *testing.B) { // nobody asks: it is remembered
		v := newVerifier(b)
		v.say("gc_good", edge)
		v.start(b).connects(b, func(int) (string, *tls.Certificate) { return "gc_good", nil })
	})
	b.Run("verified-each", func(b *testing.B) { // the platform is asked for every one
		v := newVerifier(b)
		v.every = edge
		v.start(b).connects(b, func(i int) (string, *tls.Certificate) { return fmt.Sprint("token-", i), nil })
	})
}

func (s *system) connects(b *testing.B, who func(i int) (token string, cert *tls.Certificate)) {
	i := 0
	for b.Loop() {
		token, cert := who(i)
		i++
		conf := &tls.Config{InsecureSkipVerify: true}
		if cert != nil {
			conf.Certificates = []tls.Certificate{*cert}
		}
		header := http.Header{}
		if token != "" {
			header.Set("api-key", token)
		}
		c, _, err := websocket.Dial(b.Context(), s.url(), &websocket.DialOptions{
			HTTPHeader: header, HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}},
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := c.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
		c.CloseNow()
	}
}
