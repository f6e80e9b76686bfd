// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// A deadlineRecorder is a response writer that records the calls to it.
type deadlineRecorder struct {
	http.ResponseWriter
	calls []string
}

func (d *deadlineRecorder) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		d.calls = append(d.calls, "no deadline")
	} else {
		d.calls = append(d.calls, "deadline")
	}
	return nil
}

func (d *deadlineRecorder) Write(p []byte) (int, error) {
	d.calls = append(d.calls, "write")
	return len(p), nil
}

func (d *deadlineRecorder) FlushError() error {
	d.calls = append(d.calls, "flush")
	return nil
}

// A client that does not read its response is cut off. A client that waits for the
// platform has no deadline.
func TestPacedWriterDeadlines(t *testing.T) {
	rec := &deadlineRecorder{ResponseWriter: httptest.NewRecorder()}
	w := &pacedWriter{rec, http.NewResponseController(rec)}
	_, _ = io.WriteString(w, "first")
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Fatal(err)
	}
	want := []string{"deadline", "write", "deadline", "flush", "no deadline"}
	if !slices.Equal(rec.calls, want) {
		t.Errorf("%q, want %q", rec.calls, want)
	}
}
