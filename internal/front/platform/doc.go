// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package platform is the reverse proxy from the gateway listener to the platform. A
// gateway's HTTP requests that are not for gatecast go to the platform's URL.
//
// Requests and responses pass unchanged and are streamed: method, target, headers,
// body, status and trailers. The exceptions are hop-by-hop headers, which end at each
// hop (RFC 9110, 7.6.1), and X-Forwarded-*, which the proxy sets. The front has vetted
// a request before it comes here.
package platform
