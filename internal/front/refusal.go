// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/http1"
)

// A refusal is the response to a request that is not served. It is immutable.
type refusal struct {
	status  int
	code    string // the "error" of the body, and the metric label unless result is set
	message string
	header  [][2]string // name, value
	result  string      // the metric label; empty: code
}

func badRequest(message string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "bad_request", message: message}
}

// refusalOf is the refusal of a malformed request.
func refusalOf(bad *http1.Error) *refusal {
	r := badRequest(bad.Message)
	r.status = bad.Status
	if bad.Status == http.StatusMethodNotAllowed {
		r.code, r.header = "method_not_allowed", [][2]string{{"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}
	}
	return r
}

func methodNotAllowed() *refusal {
	return &refusal{
		status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "the connect route takes GET with an upgrade to websocket",
		header: [][2]string{{"Allow", "GET"}},
	}
}

// upgradeRequired is the refusal of a request that is no upgrade, or one to an
// unsupported version of the protocol (RFC 6455 section 4.4).
func upgradeRequired(message string) *refusal {
	return &refusal{
		status: http.StatusUpgradeRequired, code: "upgrade_required", message: message,
		header: [][2]string{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}},
	}
}

// unauthorized is the same for a missing, unknown, expired and revoked token, so that it
// does not help an attacker.
func unauthorized() *refusal {
	return &refusal{status: http.StatusUnauthorized, code: "unauthorized", message: "neither api-key nor Authorization has a valid token"}
}

func rateLimited(message string, retryAfter time.Duration) *refusal {
	return later(http.StatusTooManyRequests, "rate_limited", message, retryAfter)
}

func capacityExceeded(message string) *refusal {
	return later(http.StatusServiceUnavailable, "capacity_exceeded", message, 10*time.Second)
}

func forbidden() *refusal {
	return &refusal{status: http.StatusForbidden, code: "forbidden", message: "gateways cannot connect from this address; see --allow-from"}
}

func foreignOrigin() *refusal {
	return &refusal{status: http.StatusForbidden, code: "forbidden", message: "web pages of this origin cannot connect; see --allowed-origins"}
}

func draining() *refusal {
	return later(http.StatusServiceUnavailable, "draining", "this node is shutting down", time.Second)
}

// logUnavailable is the refusal while events cannot be delivered.
func logUnavailable() *refusal { return unavailable("the event log is not reachable") }

func unavailable(message string) *refusal {
	return later(http.StatusServiceUnavailable, "unavailable", message, 5*time.Second)
}

// otherPath is the refusal of a WebSocket upgrade on a path that is not a connect path.
// It is not 404, after which real gateways exit for good: the node has the wrong setting.
func otherPath() *refusal {
	r := unavailable("gateways do not connect on this path; see --connect-path")
	r.result = "other_path"
	return r
}

// later is a refusal that tells the client when to retry.
func later(status int, code, message string, retryAfter time.Duration) *refusal {
	seconds := max(1, int(math.Ceil(retryAfter.Seconds())))
	return &refusal{status: status, code: code, message: message, header: [][2]string{{"Retry-After", fmt.Sprint(seconds)}}}
}

// body returns the JSON of the refusal.
func (r *refusal) body() []byte {
	b, err := json.Marshal(struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{r.code, r.message})
	if err != nil {
		panic("BUG: cannot marshal a refusal: " + err.Error())
	}
	return b
}

// response returns the refusal as an HTTP/1.1 response with Connection: close.
func (r *refusal) response() []byte {
	body := r.body()
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	connection := "close"
	for _, h := range r.header {
		if h[0] == "Connection" {
			connection = h[1] + ", close"
			continue
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	fmt.Fprintf(&b, "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n", len(body), connection)
	b.Write(body)
	return []byte(b.String())
}

// ServeHTTP writes the refusal on a connection that net/http serves.
func (r *refusal) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	for _, h := range r.header {
		w.Header().Set(h[0], h[1])
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body()) // fails only when the client has gone
}
