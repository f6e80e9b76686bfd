// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gatecast/gatecast/poller"
)

// Names of the self-signed pair in the data folder.
const (
	selfSignedCert = "self-signed.crt"
	selfSignedKey  = "self-signed.key"
	selfSignedFor  = 365 * 24 * time.Hour
)

// gatewayTLS returns the TLS configuration of the gateway listener and its key pair,
// nil for plaintext.
func gatewayTLS(cfg Config) (*poller.TLS, *keyPair, error) {
	if cfg.Plaintext {
		cfg.Logger.Warn("gateways are served without TLS; put a proxy that terminates it in front", "setting", "--plaintext")
		return nil, nil, nil
	}
	cert, key := cfg.TLSCert, cfg.TLSKey
	if cert == "" {
		cert, key = filepath.Join(cfg.DataDir, selfSignedCert), filepath.Join(cfg.DataDir, selfSignedKey)
		if err := ensureSelfSigned(cert, key); err != nil {
			return nil, nil, fmt.Errorf("self-signed certificate: %w", err)
		}
		cfg.Logger.Warn("gateways are served with a self-signed certificate; set --tls-cert and --tls-key", "certificate", cert)
	}
	pair, err := loadKeyPair("gateways", "tls-cert", cert, key)
	if err != nil {
		return nil, nil, err
	}
	c := pair.config()
	// Full records from the first byte on: deploy events are no web page, for
	// which small first records are meant.
	c.DynamicRecordSizingDisabled = true
	return poller.NewTLS(c, cfg.TLSRecords == settings.TLSRecordsStdlib), pair, nil
}

// ensureSelfSigned makes the pair unless it is there and good for another day.
func ensureSelfSigned(cert, key string) error {
	if pair, err := tls.LoadX509KeyPair(cert, key); err == nil {
		if time.Now().Add(24 * time.Hour).Before(pair.Leaf.NotAfter) {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; remove %s and %s to have a new pair made", err, cert, key)
	}
	certPEM, keyPEM, err := selfSigned(time.Now())
	if err != nil {
		return err
	}
	if err := os.WriteFile(key, keyPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(cert, certPEM, 0o644)
}

// selfSigned makes a certificate for this host's names, good for a year.
func selfSigned(now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "gatecast (self-signed)"},
		NotBefore:    now.Add(-time.Hour), // for gateways whose clocks are behind
		NotAfter:     now.Add(selfSignedFor),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
