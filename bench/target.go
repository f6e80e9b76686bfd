// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
)

// A Target is a node to generate load on.
type Target struct {
	Gateways    string      // host:port of the gateway listener
	GatewayPath string      // path of the connect route; empty: the node's own
	TLS         *tls.Config // config of the gateways; nil: no TLS
	Deflate     bool        // require permessage-deflate

	Internal     string      // host:port of the internal listener
	InternalPath string      // prefix of its paths, for a proxy
	InternalTLS  *tls.Config // config of the platform; nil: no TLS
	AdminToken   string

	Process Process // of the server; 0: on another machine, or unknown
}

// Transport returns the protocol of the gateways: "wss" or "ws".
func (t Target) Transport() string {
	if t.TLS == nil {
		return "ws"
	}
	return "wss"
}

// registrars is the number of gateways registered at the same time.
const registrars = 16

// A load is a target with registered gateways, and after connect with a connected fleet.
type load struct {
	Target
	admin    *admin
	gateways []gateway
	fleet    *fleet
}

func newLoad(t Target) *load { return &load{Target: t, admin: newAdmin(t), fleet: newFleet()} }

// register registers gateways. On an error l.gateways contains all gateways that may be registered.
func (l *load) register(ctx context.Context, gateways int, kind gatewayKind) (err error) {
	if l.gateways, err = l.admin.registerAll(ctx, 0, gateways, kind); err != nil {
		return fmt.Errorf("cannot register %s: %w", plural(gateways, "gateway"), err)
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

// prepareConnected registers gateways, and makes conns connections for them in turn.
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

// connect makes n connections for the gateways in turn, and returns after the last ack.
func (l *load) connect(ctx context.Context, n, dialers int) error {
	if err := CheckDescriptors(n); err != nil {
		return err
	}
	if err := l.fleet.dial(ctx, l.Target, l.gateways, n, dialers); err != nil {
		return fmt.Errorf("cannot make %s: %w", plural(n, "connection"), err)
	}
	return nil
}

// close closes all connections.
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
