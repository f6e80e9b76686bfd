// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/secretfile"
)

// A KeyPairConfig says where a key pair is and where its state is reported.
type KeyPairConfig struct {
	Listener string // name of the listener that uses it, for logs
	CertFile string // PEM: the certificate and its chain
	KeyFile  string // PEM: the private key; can be CertFile
	Logger   *slog.Logger
	// NotAfter is called with the end of the certificate's validity at each check.
	NotAfter func(time.Time)
}

// A KeyPair is a certificate and its private key, loaded from files. A reload applies
// to new connections; existing ones keep what they negotiated. It implements the
// reloader's Source and Checker: Load and Check are for one goroutine at a time.
type KeyPair struct {
	KeyPairConfig // constant
	current       atomic.Pointer[tls.Certificate]

	// Owned by the goroutine that calls Load and Check.
	warned    time.Time // when its validity was last warned about; zero for a new certificate
	unchecked bool      // the key file's permissions were not checked since it was loaded
}

// LoadKeyPair loads a key pair.
func LoadKeyPair(cfg KeyPairConfig) (*KeyPair, error) {
	p := &KeyPair{KeyPairConfig: cfg}
	if err := p.Load(); err != nil {
		return nil, err
	}
	return p, nil
}

// cipherSuitesTLS12 are the TLS 1.2 suites with forward secrecy and authenticated
// encryption; crypto/tls would also accept CBC suites. TLS 1.3 has no weaker ones.
var cipherSuitesTLS12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// ServerConfig returns a TLS configuration for a server with this key pair. Reloads of
// the pair apply to it.
func (p *KeyPair) ServerConfig() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current.Load(), nil },
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   cipherSuitesTLS12,
		NextProtos:     []string{"http/1.1"},
	}
}

// Load implements the reloader's Source.
func (p *KeyPair) Load() error {
	pair, err := LoadPair(p.CertFile, p.KeyFile)
	if err != nil {
		return err
	}
	if old := p.current.Swap(pair); old == nil || !old.Leaf.Equal(pair.Leaf) {
		p.warned = time.Time{}
	}
	p.unchecked = true
	return nil
}

// Files implements the reloader's Source.
func (p *KeyPair) Files() []string { return []string{p.CertFile, p.KeyFile} }

// String implements [fmt.Stringer].
func (p *KeyPair) String() string { return "certificate of the " + p.Listener + " listener" }

// Check reports the certificate's validity, and warns of a key file that was loaded
// and that other users can access. Such a key is used nevertheless: its permissions
// can be another program's choice.
func (p *KeyPair) Check(now time.Time) {
	if p.unchecked {
		p.unchecked = false
		p.checkPermissions()
	}
	leaf := p.current.Load().Leaf
	p.NotAfter(leaf.NotAfter)
	p.checkValidity(leaf, now)
}

func (p *KeyPair) checkPermissions() {
	info, err := os.Stat(p.KeyFile)
	if err != nil {
		return // it was readable a moment ago: it is being replaced
	}
	if err := secretfile.Check(info); err != nil {
		p.Logger.Warn("a private key is accessible to other users", "listener", p.Listener, "file", p.KeyFile, "problem", err)
	}
}

const (
	expiryWarning = 14 * 24 * time.Hour // how long before its end a certificate is warned about
	warnEvery     = 24 * time.Hour
)

func (p *KeyPair) checkValidity(leaf *x509.Certificate, now time.Time) {
	var problem string
	switch {
	case now.After(leaf.NotAfter):
		problem = "a certificate has expired; clients that verify it cannot connect"
	case now.Before(leaf.NotBefore):
		problem = "a certificate is not valid yet; clients that verify it cannot connect"
	case leaf.NotAfter.Sub(now) <= expiryWarning:
		problem = "a certificate expires soon"
	default:
		return
	}
	if now.Sub(p.warned) < warnEvery {
		return
	}
	p.warned = now
	p.Logger.Warn(problem+"; replace its files, they are reloaded", "listener", p.Listener, "certificate", p.CertFile,
		"notBefore", leaf.NotBefore, "notAfter", leaf.NotAfter)
}
