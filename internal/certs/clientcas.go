// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import "crypto/x509"

// ClientCAs are the authorities that sign client certificates, loaded from a PEM
// bundle. A reload applies to new connections. It implements the reloader's Source.
type ClientCAs struct {
	file string
	set  func(*x509.CertPool)
}

// LoadClientCAs loads a bundle and passes it to set, which is called again at each
// reload. Set must be safe while handshakes are in progress.
func LoadClientCAs(file string, set func(*x509.CertPool)) (*ClientCAs, error) {
	c := &ClientCAs{file, set}
	if err := c.Load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Load implements the reloader's Source.
func (c *ClientCAs) Load() error {
	pool, err := LoadPool(c.file)
	if err == nil {
		c.set(pool)
	}
	return err
}

// Files implements the reloader's Source.
func (c *ClientCAs) Files() []string { return []string{c.file} }

// String implements [fmt.Stringer].
func (c *ClientCAs) String() string { return "client authorities" }
