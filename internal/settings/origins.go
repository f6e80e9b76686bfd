// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// nullOrigin is what browsers send for pages without an origin of their own: files,
// sandboxed frames, redirects.
const nullOrigin = "null"

// CanonicalOrigins returns web origins as browsers write them in the header Origin, so
// that they can be compared byte by byte (RFC 6454, 6.2): scheme, host, and the port
// unless it is the scheme's own.
func CanonicalOrigins(origins []string) ([]string, error) {
	list := make([]string, 0, len(origins))
	for _, text := range origins {
		o, ok := canonicalOrigin(text)
		if !ok {
			return nil, errors.New(strconv.Quote(text) + " is not a web origin")
		}
		list = append(list, o)
	}
	return list, nil
}

// canonicalOrigin returns one origin and whether it is valid. Wildcards are not: the header has
// exactly one origin, and a pattern that matches too much is easy to write.
func canonicalOrigin(text string) (string, bool) {
	if text == nullOrigin {
		return nullOrigin, true
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || strings.ContainsAny(u.Host, "* ,") || !validPort(u.Port()) ||
		strings.HasSuffix(u.Host, ":") || u.Hostname() == "" || !isASCII(u.Host) || !strings.EqualFold(text, u.Scheme+"://"+u.Host) {
		return "", false
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "http", "ws":
		host = strings.TrimSuffix(host, ":80")
	case "https", "wss":
		host = strings.TrimSuffix(host, ":443")
	}
	return u.Scheme + "://" + host, true
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
