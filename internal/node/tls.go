// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/gatecast/gatecast/internal/certs"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/poller"
)

// loadKeyPair loads the key pair of a listener. setting is the flag that an error
// names. Later handshakes use the files as they are then: the pair is reloaded when they
// change, and open connections keep the certificate that they began with.
func (n *Node) loadKeyPair(listener, setting, certFile, keyFile string) (*certs.KeyPair, error) {
	notAfter := n.counts.CertificateNotAfter.WithLabelValues(listener)
	pair, err := certs.LoadKeyPair(certs.KeyPairConfig{
		Listener: listener,
		CertFile: certFile,
		KeyFile:  keyFile,
		Logger:   n.cfg.Logger,
		NotAfter: func(t time.Time) { notAfter.Set(float64(t.Unix())) },
	})
	if err != nil {
		return nil, settings.NewError(setting, err.Error())
	}
	n.files = append(n.files, pair)
	return pair, nil
}

// gatewayKeyPair loads the key pair of the gateway listener: the configured one, or a
// self-signed one.
func (n *Node) gatewayKeyPair() (*certs.KeyPair, error) {
	certFile, keyFile := n.cfg.TLSCert, n.cfg.TLSKey
	if certFile == "" {
		var err error
		if certFile, keyFile, err = certs.EnsureSelfSigned(n.cfg.DataDir); err != nil {
			return nil, fmt.Errorf("self-signed certificate: %w", err)
		}
		n.cfg.Logger.Warn("gateways are served with a self-signed certificate; set --tls-cert and --tls-key", "certificate", certFile)
	}
	return n.loadKeyPair("gateways", "tls-cert", certFile, keyFile)
}

// gatewayTLS returns the TLS configuration of the gateway listener, nil for plaintext.
func (n *Node) gatewayTLS() (*poller.TLS, error) {
	if n.cfg.Plaintext {
		n.cfg.Logger.Warn("gateways are served without TLS; put a proxy that terminates it in front", "setting", "--plaintext")
		return nil, nil
	}
	pair, err := n.gatewayKeyPair()
	if err != nil {
		return nil, err
	}
	conf := pair.ServerConfig()
	// Write full records from the first byte. crypto/tls begins with small ones, which
	// speeds up web pages only.
	conf.DynamicRecordSizingDisabled = true
	t := poller.NewTLS(conf, n.cfg.TLSRecords == settings.TLSRecordsStdlib)
	if n.cfg.TLSClientCA == "" {
		return t, nil
	}
	authorities, err := certs.LoadClientCAs(n.cfg.TLSClientCA, t.SetClientCAs)
	if err != nil {
		return nil, settings.NewError("tls-client-ca", err.Error())
	}
	n.files = append(n.files, authorities)
	return t, nil
}

// internalTLS returns the listener of the internal route with TLS, if that is
// configured.
func (n *Node) internalTLS(ln net.Listener) (net.Listener, error) {
	if n.cfg.InternalTLSCert == "" {
		if a, ok := ln.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
			n.cfg.Logger.Warn("the internal route is reachable from other machines without TLS; set --internal-tls-cert and --internal-tls-key, or listen on loopback",
				"address", a)
		}
		return ln, nil
	}
	pair, err := n.loadKeyPair("internal", "internal-tls-cert", n.cfg.InternalTLSCert, n.cfg.InternalTLSKey)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(ln, pair.ServerConfig()), nil
}
