// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"crypto/tls"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/certs"
	"github.com/gatecast/gatecast/internal/secretfile"
	"github.com/gatecast/gatecast/poller"
)

// expiryWarning is how long before its end a certificate is warned of, once a day.
const expiryWarning = 14 * 24 * time.Hour

// A keyPair is a certificate with its key, from two files. New connections get what
// was in them last; those that are there are not concerned.
type keyPair struct {
	listener  string // for people and the metric
	cert, key string // constant
	current   atomic.Pointer[tls.Certificate]

	warned time.Time // of the goroutine that reloads
}

// loadKeyPair loads a pair. The setting is the one to name when that fails.
func loadKeyPair(listener, setting, cert, key string) (*keyPair, error) {
	p := &keyPair{listener: listener, cert: cert, key: key}
	if err := p.load(); err != nil {
		return nil, settings.NewError(setting, err.Error())
	}
	return p, nil
}

// suitesOfTLS12 are those with forward secrecy and authenticated encryption:
// crypto/tls's own choice has CBC besides. TLS 1.3 has no others.
var suitesOfTLS12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// config returns a server's TLS configuration with the pair.
func (p *keyPair) config() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current.Load(), nil },
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   suitesOfTLS12,
		NextProtos:     []string{"http/1.1"},
	}
}

func (p *keyPair) load() error {
	pair, err := certs.LoadPair(p.cert, p.key)
	if err != nil {
		return err
	}
	if old := p.current.Swap(pair); old == nil || !old.Leaf.Equal(pair.Leaf) {
		p.warned = time.Time{}
	}
	return nil
}

// exposed returns who may use the key and should not, nil if nobody. Such a key is
// used all the same: other programs may have made it so.
func (p *keyPair) exposed() error {
	info, err := os.Stat(p.key)
	if err == nil { // else it was read a moment ago, and is being replaced
		return secretfile.Check(info)
	}
	return nil
}

func (p *keyPair) files() []string { return []string{p.cert, p.key} }

func (p *keyPair) String() string { return "certificate of the " + p.listener + " listener" }

// clientCAs are the authorities of client certificates, from a file. New connections
// are verified by what was in it last.
type clientCAs struct {
	file string
	tls  *poller.TLS
}

// loadClientCAs loads them into a listener's TLS.
func loadClientCAs(file string, t *poller.TLS) (*clientCAs, error) {
	c := &clientCAs{file: file, tls: t}
	if err := c.load(); err != nil {
		return nil, settings.NewError("tls-client-ca", err.Error())
	}
	return c, nil
}

func (c *clientCAs) String() string { return "client authorities" }

func (c *clientCAs) load() error {
	pool, err := certs.LoadPool(c.file)
	if err == nil {
		c.tls.SetClientCAs(pool)
	}
	return err
}

func (c *clientCAs) files() []string { return []string{c.file} }
