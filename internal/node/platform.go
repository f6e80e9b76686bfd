// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"net/url"

	"github.com/gatecast/gatecast/internal/front/platform"
	"github.com/gatecast/gatecast/internal/settings"
)

// platformTransport returns the transport for requests to the platform: the proxy's and
// the verifier's.
func platformTransport(cfg Config) (*http.Transport, error) {
	t, err := platform.NewTransport(cfg.PlatformCA)
	if err != nil {
		return nil, settings.NewError("platform-ca", err.Error())
	}
	return t, nil
}

// platformHandler returns the proxy to the platform, nil if there is no platform.
func platformHandler(cfg Config) (http.Handler, error) {
	if cfg.PlatformURL == "" {
		return nil, nil
	}
	target, err := url.Parse(cfg.PlatformURL)
	if err != nil {
		return nil, settings.NewError("platform-url", err.Error())
	}
	transport, err := platformTransport(cfg)
	if err != nil {
		return nil, err
	}
	return platform.New(platform.Config{
		URL:            target,
		Transport:      transport,
		TrustedProxies: cfg.TrustedProxies,
		TLS:            !cfg.Plaintext,
		Logger:         cfg.Logger,
	}), nil
}
