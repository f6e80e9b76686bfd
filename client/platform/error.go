// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// An Error is a response of the node that is not a success, or the answer to a line of
// [Client.PublishAll] that was not published. docs/reference/http.md lists the codes.
type Error struct {
	Status     int           // of the HTTP response; 0 for a line of PublishAll
	Code       string        // for programs, for example "not_found"; "" if a proxy responded
	Message    string        // for people
	Field      string        // the member, parameter or header that it is about; "" if there is none
	RetryAfter time.Duration // from the Retry-After header, at most 1 h; 0 without one
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Code == "" && e.Status == 0:
		return "the node's answer has no error code"
	case e.Code == "":
		return fmt.Sprintf("the node responded with %d %s", e.Status, http.StatusText(e.Status))
	}
	return e.Code + ": " + e.Message
}

// Codes of errors that can succeed later.
const (
	codeUnavailable = "unavailable"
	codeDraining    = "draining"
	codeTimeout     = "request_timeout"
	codeInternal    = "internal_error"
)

// Temporary reports whether err is an [*Error] after which the same request can succeed later:
// the node is starting, draining, overloaded, or cannot reach its log, or a proxy cannot reach
// the node.
func Temporary(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case 0: // a line of PublishAll
		return e.Code == codeUnavailable || e.Code == codeDraining || e.Code == codeTimeout
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// maxProblem is the number of bytes read of the body of a response that is not a success.
const maxProblem = 64 << 10

// readError makes an error from a response. The body can be anything, because a proxy may have
// sent the response.
func readError(resp *http.Response) *Error {
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(&p); err != nil {
		p = problem{}
	}
	e := p.err(resp.StatusCode)
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return e
}

// A problem is an error as it is in JSON.
type problem struct {
	Error   string `json:"error"`
	Message string `json:"message"`
	Field   string `json:"field"`
}

func (p problem) err(status int) *Error {
	return &Error{Status: status, Code: p.Error, Message: p.Message, Field: p.Field}
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
