// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Target is a gatecast to put under load.
type Target struct {
	Gateways   string // host:port that gateways connect to
	Internal   string // host:port of the internal route
	AdminToken string
	TLS        *tls.Config // what gateways connect with; nil: no TLS
	Process    Process     // the server's, on this machine
}

// Transport returns what gateways speak: "wss" or "ws".
func (t Target) Transport() string {
	if t.TLS == nil {
		return "ws"
	}
	return "wss"
}

// registrars is how many gateways are registered at once.
const registrars = 16

// A load is a target with gateways registered at it and, after connect, a fleet
// connected.
type load struct {
	Target
	admin    *admin
	gateways []gateway
	fleet    *fleet
}

// prepare registers gateways.
func prepare(ctx context.Context, t Target, gateways int) (*load, error) {
	l := &load{Target: t, admin: newAdmin(t), fleet: newFleet()}
	var err error
	if l.gateways, err = l.admin.registerAll(ctx, gateways, registrars); err != nil {
		return nil, fmt.Errorf("register %d gateways: %w", gateways, err)
	}
	return l, nil
}

// prepareConnected registers gateways and connects conns times, by turns as each
// of them.
func prepareConnected(ctx context.Context, t Target, gateways, conns int) (*load, error) {
	l, err := prepare(ctx, t, gateways)
	if err != nil {
		return nil, err
	}
	if err := l.connect(ctx, conns, defaultDialers); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// connect makes n connections, by turns as each gateway, and returns when the
// last has its ack.
func (l *load) connect(ctx context.Context, n, dialers int) error {
	if err := checkDescriptors(n); err != nil {
		return err
	}
	if err := l.fleet.dial(ctx, l.Target, l.gateways, n, dialers); err != nil {
		return fmt.Errorf("connect %d times: %w", n, err)
	}
	return nil
}

// close hangs up.
func (l *load) close() {
	l.fleet.close()
	l.admin.close()
}

// ownDescriptors is what a load needs besides its connections.
const ownDescriptors = 100

// checkDescriptors says so when this process may not open as many connections.
func checkDescriptors(conns int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit on descriptors: %w", err)
	}
	if uint64(conns)+ownDescriptors > limit.Cur {
		return fmt.Errorf("%d connections need more descriptors than the %d this process may open; raise the limit (ulimit -n) or ask for fewer", conns, limit.Cur)
	}
	return nil
}

var errNoSize = errors.New("nothing to measure: every number in the config must be at least 1")
