// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
)

// wantAttempt tries to connect and checks the status.
func (s *system) wantAttempt(what, token string, want int) {
	s.t.Helper()
	c, status := s.attempt(forms[0], token)
	if status != want {
		s.t.Errorf("%s: %d, want %d", what, status, want)
	}
	if c != nil {
		c.Close()
	}
}

// A token that the platform has granted is no guess after a restart either: it is verified
// although somebody behind the same address guesses. No guess reaches the platform then.
func TestGrantedTokenIsNoGuess(t *testing.T) {
	v := newVerifier(t)
	v.say("granted", edge)
	v.say("new", `{"gatewayId":"new"}`)
	cfg := config(t)
	cfg.Plaintext = true
	cfg.RateLimit = 2
	cfg.Log = settings.LogFile
	cfg.VerifyURL = v.URL + "/verify"
	s := start(t, cfg)
	s.wantAttempt("a new token", "granted", http.StatusSwitchingProtocols)
	s.drain()

	s = start(t, cfg)
	for i := range 2 {
		s.wantAttempt("a guess", fmt.Sprint("guess-", i), http.StatusUnauthorized)
	}
	s.wantAttempt("a guess", "guess-3", http.StatusTooManyRequests)
	s.wantAttempt("a token that nobody knows", "new", http.StatusTooManyRequests)
	if v.times("guess-3")+v.times("new") != 0 {
		t.Error("the platform was asked about a guess beyond the limit")
	}
	s.wantAttempt("a granted token", "granted", http.StatusSwitchingProtocols)
	if n := v.times("granted"); n != 2 {
		t.Errorf("asked %d times about the granted token, want once per start", n)
	}
	if status := s.call("DELETE", root+"/verified/edge", "", nil); status != http.StatusNoContent {
		t.Errorf("DELETE: %d", status)
	}
	s.wantAttempt("a token that was revoked", "granted", http.StatusTooManyRequests)
	if n := v.times("granted"); n != 2 {
		t.Errorf("asked %d times about the granted token, want none after its revocation", n)
	}
}

// However many unknown tokens come from one address at once, the platform is asked about
// eight at a time, also without a rate limit.
func TestQuestionsPerAddress(t *testing.T) {
	const tokens, atOnce = 30, 8
	v := newVerifier(t)
	var mu sync.Mutex
	var asking, most int
	full := make(chan struct{})
	v.before = func() {
		mu.Lock()
		asking++
		if most = max(most, asking); asking == atOnce {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		<-full
		mu.Lock()
		asking--
		mu.Unlock()
	}
	cfg := config(t)
	cfg.Plaintext = true
	cfg.VerifyURL = v.URL + "/verify"
	s := start(t, cfg)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() { s.wantAttempt("a guess", fmt.Sprint("guess-", i), http.StatusUnauthorized) })
	}
	wg.Wait()
	if most != atOnce {
		t.Errorf("%d questions at once, want %d", most, atOnce)
	}
}
