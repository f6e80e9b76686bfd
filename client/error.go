// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A RefusedError is the server's HTTP response to an upgrade request that it refused.
type RefusedError struct {
	Status     int           // of the HTTP response
	Code       string        // machine-readable, for example "unauthorized"; "" if the response has none
	Message    string        // for people
	RetryAfter time.Duration // from the Retry-After header, at most 1 h; 0 without one
}

// Error implements error.
func (e *RefusedError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "refused with status %d", e.Status)
	if e.Code != "" {
		fmt.Fprintf(&s, " %q", e.Code)
	}
	if e.Message != "" {
		fmt.Fprintf(&s, ": %q", e.Message)
	}
	return s.String()
}

// A CloseError is the close frame with which the server ended a connection.
type CloseError struct {
	Code   CloseCode // CloseNoStatus if the frame had none
	Reason string    // for people
}

// Error implements error.
func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("closed by the server with code %d", e.Code)
	}
	return fmt.Sprintf("closed by the server with code %d: %q", e.Code, e.Reason)
}

// maxRefusal is the number of bytes read of a refusal's body.
const maxRefusal = 64 << 10

// readRefusal makes an error from a response that is not an upgrade. The body can be anything,
// because a proxy may have sent the response.
func readRefusal(resp *http.Response) *RefusedError {
	var body struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxRefusal)).Decode(&body); err != nil {
		body.Error, body.Message = "", ""
	}
	return &RefusedError{
		Status:     resp.StatusCode,
		Code:       body.Error,
		Message:    body.Message,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// maxRetryAfter bounds the Retry-After header, which may be wrong.
const maxRetryAfter = time.Hour

// retryAfter parses a Retry-After header: seconds or a date (RFC 9110 section 10.2.3).
func retryAfter(s string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(s, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
