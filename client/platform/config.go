// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// A Config is the node to call, the admin token, and options. Only URL is required.
type Config struct {
	// URL of the node's internal listener, for example https://gatecast.internal:9244. It can
	// have a path, which precedes the path of each route.
	URL string
	// Token is an admin token. No error of this package contains it.
	Token string
	// TokenFile is a file with admin tokens, in the form of gatecast's --admin-token-file. Its
	// first token is used. The file is read for each request, so that a token can be replaced.
	// With neither Token nor TokenFile, only [Client.Ready] succeeds.
	TokenFile string
	// TLS configures https. Nil trusts the roots of the system, or CAFile.
	TLS *tls.Config
	// CAFile is a file with PEM certificates to trust instead of the system's roots. It cannot be
	// combined with TLS.
	CAFile string
	// NetDial opens TCP connections to the node. Nil uses a [net.Dialer], and the proxy that the
	// environment names, if it does.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// BackoffMin and BackoffMax bound the waits between attempts: a random time up to BackoffMin
	// after the first failure, up to twice that after the second, and so on up to BackoffMax. 0
	// means 100 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// AttemptTimeout bounds one attempt; in PublishAll, the time without progress. A long poll has
	// its wait in addition. 0 means 30 s.
	AttemptTimeout time.Duration
	// OnRetry is called before the wait that follows a failed attempt, for logs. Calls that
	// run at the same time call it at the same time. Nil ignores retries.
	OnRetry func(err error, wait time.Duration)
}

// withDefaults returns the config with each zero field replaced by its default.
func (c Config) withDefaults() Config {
	c.BackoffMin = cmp.Or(c.BackoffMin, min(100*time.Millisecond, cmp.Or(c.BackoffMax, time.Second)))
	c.BackoffMax = cmp.Or(c.BackoffMax, max(c.BackoffMin, 10*time.Second))
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 30*time.Second)
	if c.OnRetry == nil {
		c.OnRetry = func(error, time.Duration) {}
	}
	return c
}

// validate checks a config after withDefaults.
func (c Config) validate() error {
	switch {
	case c.Token != "" && c.TokenFile != "":
		return errors.New("platform: Config has both Token and TokenFile: leave one of them out")
	case strings.ContainsFunc(c.Token, notPrintable):
		return errors.New("platform: Config.Token has a character that is not allowed in a header: does it end with a line break?")
	case c.TLS != nil && c.CAFile != "":
		return errors.New("platform: Config has both TLS and CAFile: set TLS.RootCAs instead of CAFile")
	case c.BackoffMin < 0 || c.BackoffMax < c.BackoffMin:
		return fmt.Errorf("platform: Config.BackoffMin is %v and BackoffMax %v: want 0s <= BackoffMin <= BackoffMax", c.BackoffMin, c.BackoffMax)
	case c.AttemptTimeout < 0:
		return fmt.Errorf("platform: Config.AttemptTimeout is %v: want a time above 0", c.AttemptTimeout)
	}
	return nil
}

func notPrintable(r rune) bool { return r <= ' ' || r >= 0x7f }

// base returns the URL without a trailing slash. Errors do not quote it, because it may contain a
// secret.
func (c Config) base() (string, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return "", errors.New("platform: Config.URL is not a URL: want https://HOST:PORT")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("platform: Config.URL has the scheme %q: want https://HOST:PORT or http://HOST:PORT", u.Scheme)
	case u.Hostname() == "":
		return "", errors.New("platform: Config.URL has no host: want https://HOST:PORT")
	case u.User != nil:
		return "", errors.New("platform: Config.URL contains a user: put the token into Config.Token")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("platform: Config.URL has a query or a fragment: want https://HOST:PORT")
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// trust returns the TLS configuration; nil for the system's roots.
func (c Config) trust() (*tls.Config, error) {
	if c.CAFile == "" {
		return c.TLS, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("platform: Config.CAFile: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("platform: Config.CAFile: %s has no PEM certificate", c.CAFile)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// token returns the admin token for one request; "" if there is none.
func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("platform: cannot read the admin token: %w", err)
	}
	// Each line is TOKEN or NAME SCOPES TOKEN; the token can be a digest.
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if t := words[len(words)-1]; !strings.HasPrefix(t, "sha256:") && !strings.ContainsFunc(t, notPrintable) {
			return t, nil
		}
	}
	return "", &localError{fmt.Errorf("platform: %s has no admin token", c.TokenFile)}
}
