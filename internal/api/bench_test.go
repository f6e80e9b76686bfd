// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/valyala/fasthttp"
)

// A noLog confirms every event at once.
type confirmingLog struct{}

func (l confirmingLog) AppendAsync(*event.Event, []byte) (Pending, error) { return l, nil }
func (confirmingLog) Wait(context.Context) (event.Cursor, error) {
	return event.Cursor{Epoch: 36, Seq: 1}, nil
}
func (confirmingLog) Duplicate() bool { return false }

func withoutLog(c *Config, _ *limits) { c.Log = confirmingLog{} }

// typical is an event as the platform publishes it, about 200 bytes.
const typical = `{"gatewayId":"g1","type":"api.deployed","payload":{"apiId":"7b6c1f2e-6f0a-4e57-9f43-0d3c6a2b1c9d","revision":42,"environment":"production","vhost":"api.example.com"},"correlationId":"0b7f8f6e-1b5a-4c73-8b53-7a2f8f1f0d11"}`

// The handler alone, without HTTP and sockets.
func BenchmarkPublishHandler(b *testing.B) {
	for _, keyed := range []bool{false, true} {
		b.Run(fmt.Sprintf("keyed=%v", keyed), func(b *testing.B) {
			s := start(b, withoutLog).Server
			var ctx fasthttp.RequestCtx
			text := []byte(typical)
			b.ReportAllocs()
			ctx.SetUserValue(auditKey, new(auditRecord))
			for i := 0; b.Loop(); i++ {
				var key publishKey
				if keyed {
					key.key = strconv.Itoa(i)
				}
				auditOf(&ctx).attrs = auditOf(&ctx).attrs[:0]
				if err := s.publishOne(&ctx, text, key, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Sequential requests over loopback, including reading the answer.
func BenchmarkPublishRequest(b *testing.B) {
	r := start(b, withoutLog)
	c := r.dial()
	br := bufio.NewReader(c)
	request := fmt.Appendf(nil, "POST %s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		prefix, adminToken, len(typical), typical)
	var resp fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if err := resp.Read(br); err != nil || resp.StatusCode() != 202 {
			b.Fatal(resp.StatusCode(), err)
		}
	}
}

// A repeated reader returns the same line n times.
type repeated struct {
	line string
	n    int
	rest string
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if r.rest == "" {
			if r.n == 0 {
				return n, io.EOF
			}
			r.n--
			r.rest = r.line
		}
		k := copy(p[n:], r.rest)
		n, r.rest = n+k, r.rest[k:]
	}
	return n, nil
}

// The lines of a bulk publish, without HTTP and sockets.
func BenchmarkBulkHandler(b *testing.B) {
	s := start(b, withoutLog).Server
	server, client := net.Pipe()
	defer func() { _, _ = server.Close(), client.Close() }()
	many := &bulk{s: s, conn: server, lines: newLineReader(&repeated{line: typical + "\n", n: b.N}, 8192)}
	b.ReportAllocs()
	b.ResetTimer()
	var out []byte
	for err := error(nil); err != io.EOF; {
		out, err = many.produce(out[:0])
	}
}

// One bulk publish over loopback. An operation is one line and its answer.
func BenchmarkBulkRequest(b *testing.B) {
	r := start(b, withoutLog)
	req := r.request("POST", prefix+"/events", &repeated{line: typical + "\n", n: b.N})
	req.Header.Set("Content-Type", typeNDJSON)
	b.ReportAllocs()
	b.ResetTimer()
	resp, err := r.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkStats(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := start(b)
			r.conns.n = n
			b.ReportAllocs()
			for b.Loop() {
				resp, err := r.client.Do(r.request("GET", prefix+"/stats", nil))
				if err != nil {
					b.Fatal(err)
				}
				size, err := io.Copy(io.Discard, resp.Body)
				if err != nil || size < int64(n) {
					b.Fatal(size, err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

func TestTypicalEventIsWellFormed(t *testing.T) {
	r := start(t)
	if got := r.do("POST", prefix+"/events", typical); got.status != 202 || !strings.Contains(got.body, `"targets":1`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}
