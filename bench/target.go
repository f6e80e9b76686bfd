// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
)

// A Target is a gatecast to put under load.
type Target struct {
	Gateways    string      // host:port that gateways connect to
	GatewayPath string      // of the route they ask for; empty: the node's own
	TLS         *tls.Config // what they connect with; nil: no TLS
	Deflate     bool        // they offer permessage-deflate, and insist on it

	Internal     string      // host:port of the internal route
	InternalPath string      // ahead of its own paths, as a proxy may want it
	InternalTLS  *tls.Config // what the platform connects with; nil: no TLS
	AdminToken   string

	Process Process // the server's; 0: not on this machine, or unknown
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

func newLoad(t Target) *load { return &load{Target: t, admin: newAdmin(t), fleet: newFleet()} }

// register registers gateways. Those that it has begun with are in l.gateways
// also when it fails.
func (l *load) register(ctx context.Context, gateways int, kind gatewayKind) (err error) {
	if l.gateways, err = l.admin.registerAll(ctx, 0, gateways, kind); err != nil {
		return fmt.Errorf("register %s: %w", plural(gateways, "gateway"), err)
	}
	return nil
}

// prepare registers gateways.
func prepare(ctx context.Context, t Target, gateways int) (*load, error) {
	l := newLoad(t)
	if err := l.register(ctx, gateways, gatewayKind{}); err != nil {
		l.close()
		return nil, err
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
	if err := CheckDescriptors(n); err != nil {
		return err
	}
	if err := l.fleet.dial(ctx, l.Target, l.gateways, n, dialers); err != nil {
		return fmt.Errorf("make %s: %w", plural(n, "connection"), err)
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

// CheckDescriptors returns an error if this process cannot open so many connections.
func CheckDescriptors(conns int) error {
	limit, err := descriptorLimit()
	if err != nil {
		return err
	}
	if uint64(conns)+ownDescriptors > limit {
		return fmt.Errorf("%d connections need more descriptors than the %d this process can open; raise the limit (ulimit -n) or use fewer connections", conns, limit)
	}
	return nil
}

var errNoSize = errors.New("nothing to measure: every number in the config must be at least 1")
