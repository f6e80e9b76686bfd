// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
)

// attempt tries once to connect. It returns the connection after the ack, or the status of
// the refusal.
func (s *system) attempt(f form, token string) (net.Conn, int) {
	c := s.dialRaw(f)
	_, _ = io.WriteString(c, upgradeText(token))
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		s.t.Error(err)
		return nil, 0
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		c.Close()
		return nil, resp.StatusCode
	}
	if _, err := readFrame(br); err != nil { // the ack
		s.t.Error(err)
	}
	return c, resp.StatusCode
}

// comeBack connects with all tokens at once, and returns the connections and the number of
// attempts that were refused. Each refused gateway tries again at once.
func (s *system) comeBack(f form, tokens []string) (conns []net.Conn, refused int64) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var no atomic.Int64
	at := make(chan struct{}, 32) // dials at a time: the listener's backlog is not the subject
	for _, token := range tokens {
		wg.Go(func() {
			for {
				at <- struct{}{}
				c, status := s.attempt(f, token)
				<-at
				if c != nil {
					mu.Lock()
					conns = append(conns, c)
					mu.Unlock()
					return
				}
				if no.Add(1); status != http.StatusTooManyRequests || s.t.Failed() {
					s.t.Errorf("status %d", status)
					return
				}
			}
		})
	}
	wg.Wait()
	return conns, no.Load()
}

// With the default rate limit, 200 gateways and 50 replicas of one more come back at once
// behind one address, also to a node that has just started, while somebody behind the same
// address guesses tokens.
func TestGatewaysBehindOneAddress(t *testing.T) {
	cfg := config(t)
	cfg.Plaintext = true
	cfg.RateLimit = Defaults().RateLimit
	cfg.Log = settings.LogFile
	s := start(t, cfg)
	var tokens []string
	for i := range 200 {
		token, _ := s.gateway(fmt.Sprint("gateway-", i))
		tokens = append(tokens, token)
	}
	many, _ := s.gateway("replicas")
	for range 50 {
		tokens = append(tokens, many)
	}
	guess := func() {
		for i := range 2 * cfg.RateLimit {
			want := http.StatusUnauthorized
			if i >= cfg.RateLimit {
				want = http.StatusTooManyRequests
			}
			if _, status := s.attempt(forms[0], "a-guess"); status != want {
				t.Errorf("guess %d: %d, want %d", i+1, status, want)
			}
		}
	}
	for round := range 2 {
		guess()
		conns, _ := s.comeBack(forms[0], tokens)
		for _, c := range conns {
			c.Close()
		}
		eventually(t, "all have gone", func() bool { return len(s.connected()) == 0 })
		conns, refused := s.comeBack(forms[0], tokens)
		if len(conns) != len(tokens) || refused != 0 {
			t.Errorf("%d of %d came back, after %d refusals", len(conns), len(tokens), refused)
		}
		for _, c := range conns { // a drain would wait for their close frames
			c.Close()
		}
		if round == 0 {
			s.drain()
			s = start(t, cfg)
		}
	}
}
