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

	"github.com/gatecast/gatecast/frame"
)

// A RefusedError is the server's refusal of a connection.
type RefusedError struct {
	Status     int           // of the HTTP response
	Code       string        // the server's name for it, as "unauthorized"; empty if it gave none
	Message    string        // the server's, for people
	RetryAfter time.Duration // what the server asks to wait; 0 if it asks nothing
}

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

// A CloseError is the server's close of a connection.
type CloseError struct {
	Code   frame.CloseCode // frame.CloseNoStatus if the server gave none
	Reason string          // the server's, for people
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("closed by the server with code %d", e.Code)
	}
	return fmt.Sprintf("closed by the server with code %d: %q", e.Code, e.Reason)
}

// maxRefusal bounds what is read of a refusal, in bytes.
const maxRefusal = 64 << 10

// readRefusal makes an error of a response that is no upgrade. Nothing in its
// body is relied on: a proxy may have made it.
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

// maxRetryAfter bounds what a server can ask for, which may be a mistake.
const maxRetryAfter = time.Hour

// retryAfter reads a Retry-After header: seconds, or a date (RFC 9110 section
// 10.2.3).
func retryAfter(s string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(s, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
