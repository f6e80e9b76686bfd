// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/internal/certs"
)

// connectTimeout limits the whole way to a connection: name lookup, TCP and TLS. The time
// until the platform answers a request has no limit.
const connectTimeout = 10 * time.Second

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
	d := &dialer{timeout: connectTimeout, tls: &tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = d.tls.Clone()
	transport.DialContext, transport.DialTLSContext = d.dial, d.dialTLS
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = maxIdleConns, maxIdleConns
	transport.DisableCompression = true // pass on the encoding that the client asked for
	return transport, nil
}

// A dialer connects to the platform. net/http limits TCP and TLS one by one, which adds
// up. It is constant, and any goroutine can use it.
type dialer struct {
	timeout time.Duration
	tls     *tls.Config
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return (&tls.Dialer{Config: d.tls}).DialContext(ctx, network, address)
}
