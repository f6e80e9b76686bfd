// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// idleTimeout is how long a client can send nothing of its request body, or read
// nothing of its response, before the connection fails. A body or response that keeps
// moving can take any time.
const idleTimeout = time.Minute

// A pacedBody is a request body with a read deadline that each Read extends. The
// proxy's transport reads it; failed can be loaded by any goroutine.
type pacedBody struct {
	io.ReadCloser
	deadlines *http.ResponseController
	failed    atomic.Bool // the client broke off, or sent a malformed body
}

// bodyKey is the context key of a request's *pacedBody.
type bodyKey struct{}

// Read implements [io.Reader].
func (b *pacedBody) Read(p []byte) (int, error) {
	// Errors are ignored: a connection without deadlines has no idle timeout.
	_ = b.deadlines.SetReadDeadline(time.Now().Add(idleTimeout))
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failed.Store(true)
	}
	if err != nil { // the body has ended; waiting for the response has no read deadline
		_ = b.deadlines.SetReadDeadline(time.Time{})
	}
	return n, err
}

// A pacedWriter is a response writer with a write deadline that each Write extends.
type pacedWriter struct {
	http.ResponseWriter
	deadlines *http.ResponseController
}

// Unwrap is for [http.ResponseController].
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements [io.Writer].
func (w *pacedWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// FlushError implements the interface of [http.ResponseController]. ReverseProxy calls
// it after each Write. Until the platform sends more there is nothing to write, so the
// deadline is cleared.
func (w *pacedWriter) FlushError() error {
	w.extend()
	err := w.deadlines.Flush()
	_ = w.deadlines.SetWriteDeadline(time.Time{})
	return err
}

func (w *pacedWriter) extend() { _ = w.deadlines.SetWriteDeadline(time.Now().Add(idleTimeout)) }
