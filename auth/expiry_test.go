// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"
)

func TestExpiry(t *testing.T) {
	bubble(t, memstore.New(), 2, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		late := n[0].addToken(t, c, time.Now().Add(3*time.Hour))
		n[0].revoke(t, c)
		soon := n[0].addToken(t, c, time.Now().Add(2*time.Hour))
		synctest.Wait()
		time.Sleep(2*time.Hour - time.Nanosecond)
		synctest.Wait()
		n[1].verify(t, soon)
		n[1].wantValid(t, soon)
		time.Sleep(time.Nanosecond)
		n[1].refuse(t, soon) // whether or not the timer has run
		synctest.Wait()
		n[1].verify(t, late)
		n[1].wantEnded(t, soon, event.TokenExpired)
		time.Sleep(time.Hour)
		synctest.Wait()
		n[1].wantEnded(t, late, event.TokenExpired)
		n[0].wantEnded(t, late, event.TokenExpired)
	})
}

// A revoked token does not expire later.
func TestRevokedBeforeExpiry(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		short := n[0].addToken(t, c, time.Now().Add(time.Hour))
		n[0].revoke(t, short)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		n[0].wantEnded(t, short, event.TokenRevoked)
	})
}

// After the clock was set forward, tokens expire by the new time.
func TestExpiryClockJump(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		short := n[0].addToken(t, c, time.Now().Add(24*time.Hour))
		time.Sleep(time.Second)
		n[0].setSkew(25 * time.Hour)
		n[0].refuse(t, short)
		time.Sleep(time.Minute)
		synctest.Wait()
		n[0].wantEnded(t, short, event.TokenExpired)
		n[0].setSkew(0)
		n[0].refuse(t, short) // its connections were closed when it expired
		n[0].verify(t, c)
	})
}

// A token that has expired before a start is refused, without a call of OnRevoke.
func TestOpenWithExpired(t *testing.T) {
	bubble(t, memstore.New(), 0, func(t *testing.T, _ []*node) {
		s := memstore.New()
		first := open(t, s)
		c := first.add(t, auth.NewGateway{Name: "n"})
		short := first.addToken(t, c, time.Now().Add(time.Hour))
		first.Close()
		time.Sleep(2 * time.Hour)
		second := open(t, s)
		defer second.Close()
		second.verify(t, c)
		second.refuse(t, short)
		second.addToken(t, c, time.Time{}) // drops it
		second.wantValid(t, short)
	})
}
