// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
)

const (
	apiRoot  = "/api/internal/v1"
	maxEvent = 1 << 20 // bytes of a draft
)

// Handler returns the internal routes, which require the admin token.
func (h *Hub) Handler(adminToken string) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST "+apiRoot+"/gateways", h.serveRegister)
	routes.HandleFunc("POST "+apiRoot+"/events", h.serveEvents)
	routes.HandleFunc("GET /metrics", serveMetrics)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+adminToken {
			http.Error(w, "wrong admin token", http.StatusUnauthorized)
			return
		}
		routes.ServeHTTP(w, r)
	})
}

func (h *Hub) serveRegister(w http.ResponseWriter, _ *http.Request) {
	id, token := h.Register()
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"id":%q,"token":%q}`, id, token)
}

func (h *Hub) serveEvents(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") == "application/x-ndjson" {
		h.serveMany(w, r)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id, err := h.publish(text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"id":"%v"}`, id)
}

// serveMany publishes line by line. It writes the receipts after the last line, because net/http
// does not read the body after the response has begun.
func (h *Hub) serveMany(w http.ResponseWriter, r *http.Request) {
	var receipts bytes.Buffer
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		if id, err := h.publish(lines.Bytes()); err != nil {
			fmt.Fprintf(&receipts, "{\"error\":%q}\n", err)
		} else {
			fmt.Fprintf(&receipts, "{\"id\":\"%v\"}\n", id)
		}
	}
	if err := lines.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = receipts.WriteTo(w) // the publisher reports missing receipts
}

// serveMetrics returns the metrics that the load reads.
func serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, "go_goroutines %d\ngo_memstats_heap_alloc_bytes %d\n", runtime.NumGoroutine(), m.HeapAlloc)
}
