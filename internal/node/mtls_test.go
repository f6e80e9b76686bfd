// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/settings"

	"github.com/coder/websocket"
)

// An authority signs client certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign signs a certificate, by itself while there is no authority yet.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// file writes the authority's certificate.
func (a *authority) file(name string) {
	a.t.Helper()
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err := os.WriteFile(name, b, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// client returns a certificate with a common name, and a URI if there is one.
func (a *authority) client(name, uri string, notAfter time.Time) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: notAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	cert, key := a.sign(template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// present connects with a certificate and returns the connection, or the status of
// the refusal; 0 when TLS failed.
func (s *system) present(cert tls.Certificate) (*websocket.Conn, int) {
	s.t.Helper()
	s.dispatched()
	c, resp, err := websocket.Dial(s.t.Context(), s.url(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}, DisableKeepAlives: true,
		}},
	})
	switch {
	case err == nil:
		s.t.Cleanup(func() { c.CloseNow() })
		return c, http.StatusSwitchingProtocols
	case resp != nil:
		return nil, resp.StatusCode
	}
	return nil, 0
}

// A gateway may show a certificate instead of a token: of an authority that is
// trusted, that has not expired, and that names a registered gateway.
func TestClientCertificates(t *testing.T) {
	t.Parallel() // mostly waits
	for _, records := range []string{settings.TLSRecordsOwn, settings.TLSRecordsStdlib} {
		t.Run(records, func(t *testing.T) {
			trusted, other := newAuthority(t), newAuthority(t)
			cfg := config(t)
			cfg.TLSRecords = records
			cfg.TLSClientCA = filepath.Join(t.TempDir(), "ca.pem")
			trusted.file(cfg.TLSClientCA)
			s := start(t, cfg)
			token, _ := s.gateway("edge")
			s.gateway("named")
			later := time.Now().Add(time.Hour)
			for _, c := range []struct {
				name string
				cert tls.Certificate
				want int
			}{
				{"by common name", trusted.client("edge", "", later), 101},
				{"by URI", trusted.client("somebody", "gateway:named", later), 101},
				{"of no gateway", trusted.client("nobody", "", later), 401},
				{"of no name", trusted.client("a b", "", later), 401},
				{"none", tls.Certificate{}, 401},
				{"of another authority", other.client("edge", "", later), 0},
				{"expired", trusted.client("edge", "", time.Now().Add(-time.Minute)), 0},
			} {
				t.Run(c.name, func(t *testing.T) {
					if _, got := s.present(c.cert); got != c.want {
						t.Errorf("status %d, want %d", got, c.want)
					}
				})
			}
			s.connect(token) // goes on working

			// One that expires, and whose gateway is removed, is closed.
			soon, status := s.present(trusted.client("edge", "", time.Now().Add(2*time.Second)))
			if status != 101 {
				t.Fatalf("status %d", status)
			}
			if code := (&replica{described: described{soon, t}}).closed(); code != 1008 {
				t.Errorf("expired with %d", code)
			}
			named, _ := s.present(trusted.client("named", "", later))
			if status := s.call("DELETE", root+"/gateways/named", "", nil); status != 204 {
				t.Fatalf("DELETE: %d", status)
			}
			if code := (&replica{described: described{named, t}}).closed(); code != 1008 {
				t.Errorf("removed with %d", code)
			}

			// Another authority is trusted from the reload on.
			other.file(cfg.TLSClientCA)
			s.Reload()
			eventually(t, "the other authority is trusted", func() bool {
				c, status := s.present(other.client("edge", "", later))
				if c != nil {
					_ = c.CloseNow()
				}
				return status == 101
			})
		})
	}
}
