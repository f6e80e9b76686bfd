// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"

	"github.com/gatecast/gatecast/test/testenv"
)

// A pair is the file names of a server's certificate and key.
type pair struct{ cert, key string }

func newPair(folder string) pair {
	return pair{filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")}
}

// renew writes a new certificate into the files and returns it in DER.
func (p pair) renew() (der []byte, err error) {
	c := testenv.NewCertificate()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, err
	}
	if err := replace(p.key, "PRIVATE KEY", key); err != nil {
		return nil, err
	}
	return c.Certificate[0], replace(p.cert, "CERTIFICATE", c.Certificate[0])
}

// replace replaces a file atomically.
func replace(name, kind string, der []byte) error {
	next := name + ".new"
	if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.Rename(next, name)
}
