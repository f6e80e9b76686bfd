// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"sync/atomic"
)

// TLS is how the connections of a listener are secured. Make it with [NewTLS].
// Any goroutine may use it.
type TLS struct {
	// Config is not changed once connections use it.
	Config *tls.Config
	// Stdlib leaves the record layer to crypto/tls on every connection. If it is
	// false, crypto/tls does the handshake, and package tlsrecord seals and opens
	// the records after it where it can. Session tickets are off then.
	Stdlib bool

	withClientCAs atomic.Pointer[tls.Config] // Config that asks for client certificates; nil: do not ask
	handshakes    handshakeSemaphore
}

// NewTLS returns a TLS whose handshakes leave one of Go's processors to the rest
// of the program.
func NewTLS(config *tls.Config, stdlib bool) *TLS {
	return &TLS{Config: config, Stdlib: stdlib, handshakes: newHandshakeSemaphore(max(1, runtime.GOMAXPROCS(0)-1))}
}

// SetClientCAs makes new connections ask for a client certificate. A client does
// not need one; a certificate that it sends must be signed by one of these
// authorities. Any goroutine may call it at any time.
func (t *TLS) SetClientCAs(pool *x509.CertPool) {
	c := t.Config.Clone()
	c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, pool
	t.withClientCAs.Store(c)
}

// current returns the configuration of a new connection.
func (t *TLS) current() *tls.Config {
	if c := t.withClientCAs.Load(); c != nil {
		return c
	}
	return t.Config
}
