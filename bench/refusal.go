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

// A RefusedError is the server's refusal of a connection or of a request.
type RefusedError struct {
	Status  int    // of the HTTP response
	Code    string // the server's name for it, as "capacity_exceeded"; empty if it gave none
	Message string // the server's, for people
	// RetryAfter is when the server takes another attempt, 0 if it did not say.
	RetryAfter time.Duration
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused with status %d %s: %q", e.Status, e.Code, e.Message)
}

// maxRefusal bounds what is read of a refusal, in bytes.
const maxRefusal = 1024

// refused makes an error of an answer.
func refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal)) // what there is of it will do
	var body struct{ Error, Message string }
	if json.Unmarshal(text, &body) != nil || body.Error == "" {
		body.Message = string(bytes.TrimSpace(text)) // a proxy's, say
	}
	seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16) // 0 for a date, which nobody sends here
	return &RefusedError{answer.StatusCode, body.Error, body.Message, time.Duration(seconds) * time.Second}
}

// readRefusal makes an error of an answer that is no upgrade, of which head was
// read already.
func readRefusal(head []byte, rest io.Reader) error {
	answer, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), rest)), nil)
	if err != nil {
		return fmt.Errorf("not an answer of HTTP: %.100q", head)
	}
	defer answer.Body.Close()
	return refused(answer)
}
