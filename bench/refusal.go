// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// A RefusedError is an HTTP response of the server that refuses a connection or a request.
type RefusedError struct {
	Status  int    // of the HTTP response
	Code    string // for example "capacity_exceeded"; empty if the response has none
	Message string // for people
	// RetryAfter is the time after which to try again, 0 if the response has none.
	RetryAfter time.Duration
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused with status %d %s: %q", e.Status, e.Code, e.Message)
}

// maxRefusal is the number of bytes read of a refusal.
const maxRefusal = 1024

// refused makes an error from a response.
func refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal)) // a partial body is sufficient
	var body struct{ Error, Message string }
	if json.Unmarshal(text, &body) != nil || body.Error == "" {
		body.Message = string(bytes.TrimSpace(text)) // not gatecast's JSON, for example from a proxy
	}
	seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16) // 0 for a date, which gatecast does not send
	return &RefusedError{answer.StatusCode, body.Error, body.Message, time.Duration(seconds) * time.Second}
}

// readRefusal makes an error from a response that is not an upgrade. Its head was already read.
func readRefusal(head []byte, rest io.Reader) error {
	answer, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), rest)), nil)
	if err != nil {
		return fmt.Errorf("not an HTTP response: %.100q", head)
	}
	defer answer.Body.Close()
	return refused(answer)
}
