// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/url"
	"strings"
)

// nullOrigin is what browsers send for pages that have no origin of their own:
// files, sandboxed frames, redirects.
const nullOrigin = "null"

// canonicalOrigins returns web origins as browsers write them in the header
// Origin, which they are compared with byte by byte.
func canonicalOrigins(origins []string) ([]string, error) {
	list := make([]string, 0, len(origins))
	for _, text := range origins {
		o, err := canonicalOrigin(text)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// canonicalOrigin returns one web origin: scheme, host, and the port unless it is
// the scheme's own (RFC 6454, 6.2).
func canonicalOrigin(text string) (string, error) {
	if text == nullOrigin {
		return nullOrigin, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || strings.ContainsAny(u.Host, "* ,") || !validPort(u.Port()) ||
		strings.HasSuffix(u.Host, ":") || u.Hostname() == "" || !isASCII(u.Host) || !strings.EqualFold(text, u.Scheme+"://"+u.Host) {
		return "", fmt.Errorf("%q is not a web origin; want SCHEME://HOST or SCHEME://HOST:PORT as browsers send it, without a path", text)
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "http", "ws":
		host = strings.TrimSuffix(host, ":80")
	case "https", "wss":
		host = strings.TrimSuffix(host, ":443")
	}
	return u.Scheme + "://" + host, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// checkOrigins returns what is wrong with a list of web origins.
func checkOrigins(setting string, origins []string) error {
	if _, err := canonicalOrigins(origins); err != nil {
		return &ConfigError{setting, err.Error()}
	}
	return nil
}
