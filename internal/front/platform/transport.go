// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"

	"github.com/gatecast/gatecast/internal/certs"
)

// maxIdleConns is how many idle connections to the platform are kept for reuse.
const maxIdleConns = 128

// NewTransport returns a transport for requests to the platform. caFile is a PEM file
// of the authorities to trust; empty for the system's. The environment's proxy settings
// are ignored: the platform is named by its URL.
func NewTransport(caFile string) (*http.Transport, error) {
	var roots *x509.CertPool // nil: the system's
	if caFile != "" {
		var err error
		if roots, err = certs.LoadPool(caFile); err != nil {
			return nil, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = maxIdleConns, maxIdleConns
	transport.DisableCompression = true // pass on the encoding that the client asked for
	return transport, nil
}
