// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/test/spectest"
)

// An answered line is one line of the answer to a bulk publish.
type answered struct {
	ID, CorrelationID string
	Line              int
	Error, Message    string
}

func parseAnswer(t testing.TB, line string) (a answered) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &a); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return a
}

const good = `{"gatewayId":"g1","type":"t","correlationId":"c"}`

func TestBulk(t *testing.T) {
	receipt := func(n int) string {
		return fmt.Sprintf(`{"id":"10-%d","correlationId":"c",%s,"targets":1,"connected":1}`, n, at)
	}
	tests := []struct {
		name, body string
		want       []string
	}{
		{"nothing", "", nil},
		{"one", good + "\n", []string{receipt(1)}},
		{"one without an end", good, []string{receipt(1)}},
		{"blank lines", "\n \t\r\n" + good + "\r\n\n\n" + good + "\n\n", []string{receipt(1), receipt(2)}},
		{"bad lines between good ones",
			good + "\nnonsense\n" + good + "\n\n" + `{"gatewayId":"nobody","type":"t"}` + "\n" + `{"all":true,"type":"-"}` + "\n" + good + "\n",
			[]string{
				receipt(1),
				`{"line":2,"error":"bad_request","message":"the body is not one JSON object: invalid character 'o' in literal null (expecting 'u')"}`,
				receipt(2),
				`{"line":5,"error":"not_found","message":"gateway nobody is not registered; nothing was published"}`,
				`{"line":6,"error":"invalid_event","message":"type: want letters, digits and _ in words joined by dots, beginning with a letter, at most 128 characters","field":"type"}`,
				receipt(3),
			}},
		{"two events in a line", good + good + "\n" + good, []string{
			`{"line":1,"error":"bad_request","message":"the body is not one JSON object: more text follows it"}`, receipt(1)}},
		{"a line that is too long", good + "\n" + strings.Repeat("x", 500<<10) + "\n" + good, []string{
			receipt(1), `{"line":2,"error":"payload_too_large","message":"the line is longer than 8192 bytes"}`, receipt(2)}},
		{"an event that is too long", `{"all":true,"type":"t","correlationId":"c","payload":"` + strings.Repeat("x", 4096) + `"}`, []string{
			`{"line":1,"error":"payload_too_large","message":"the event has 4186 bytes of JSON; the limit is 4096 (--max-payload)"}`}},
	}
	for _, chunked := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, chunked %v", tt.name, chunked), func(t *testing.T) {
				var body io.Reader = strings.NewReader(tt.body)
				if chunked {
					body = struct{ io.Reader }{body}
				}
				got := start(t).bulk(body)
				for i := range max(len(got), len(tt.want)) {
					if i >= len(got) || i >= len(tt.want) || got[i] != tt.want[i] {
						t.Fatalf("got  %s\nwant %s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
					}
				}
			})
		}
	}
}

func TestBulkMediaTypes(t *testing.T) {
	r := start(t)
	for _, typ := range []string{typeNDJSON, "Application/X-NDJSON; charset=utf-8", typeNDJSON + " ;x"} {
		req := r.request("POST", prefix+"/events", strings.NewReader(good+"\n"+good))
		req.Header.Set("Content-Type", typ)
		if got := r.send(req); got.status != 200 || strings.Count(got.body, "\n") != 1 {
			t.Errorf("%s: %d %s", typ, got.status, got.body)
		}
	}
}

// numbered writes n lines, of which every hundredth is bad.
func numbered(w io.Writer, n int) error {
	bw := bufio.NewWriter(w)
	for i := range n {
		var err error
		if i%100 == 99 {
			_, err = fmt.Fprintf(bw, "bad %d\n", i)
		} else {
			_, err = fmt.Fprintf(bw, `{"gatewayId":"g1","type":"t","correlationId":"%d"}`+"\n", i)
		}
		if err != nil {
			return err
		}
	}
	return bw.Flush()
}

func TestBulkOf100000LinesIsAnsweredInOrder(t *testing.T) {
	const n = 100_000
	r := start(t)
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(numbered(pw, n)) }()
	req := r.request("POST", prefix+"/events", pr)
	req.Header.Set("Content-Type", typeNDJSON)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	taken := 0
	for i := range n {
		if !lines.Scan() {
			t.Fatalf("the answer ends after %d lines: %v", i, lines.Err())
		}
		a := parseAnswer(t, lines.Text())
		if i%100 == 99 {
			if a.Line != i+1 || a.Error != codeBadRequest {
				t.Fatalf("line %d is answered by %s", i+1, lines.Text())
			}
			continue
		}
		if taken++; a.CorrelationID != fmt.Sprint(i) || a.ID != fmt.Sprintf("10-%d", taken) {
			t.Fatalf("line %d is answered by %s", i+1, lines.Text())
		}
	}
	if lines.Scan() {
		t.Errorf("one line more: %s", lines.Text())
	}
	if r.log.most < 2 || r.log.most > maxInFlight {
		t.Errorf("up to %d events were with the log at once; want some, up to %d", r.log.most, maxInFlight)
	}
}

func TestBulkHoldsFewLargeEvents(t *testing.T) {
	const size = 1 << 20
	r := start(t, func(c *Config, _ *limits) { c.MaxPayload = 2 * size })
	line := `{"all":true,"type":"t","payload":"` + strings.Repeat("x", size) + `"}` + "\n"
	if got := r.bulk(strings.NewReader(strings.Repeat(line, 12))); len(got) != 12 {
		t.Errorf("%d lines", len(got))
	}
	if r.log.most > 3 {
		t.Errorf("%d events of 1 MiB were with the log at once", r.log.most)
	}
}

// A wire is a bulk publish that the test writes by hand over one connection.
type wire struct {
	t    *testing.T
	c    net.Conn
	r    *bufio.Reader // of the response's body
	resp *http.Response
}

func (r *rig) wire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t: t, c: r.dial()}
	w.write("POST " + prefix + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminToken +
		"\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
	return w
}

func (w *wire) write(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.c, s); err != nil {
		w.t.Fatal(err)
	}
}

// line sends one line in a chunk of its own.
func (w *wire) line(s string) { w.t.Helper(); w.write(fmt.Sprintf("%x\r\n%s\n\r\n", len(s)+1, s)) }

// answer reads one line of the answer.
func (w *wire) answer() answered {
	w.t.Helper()
	if w.r == nil {
		resp, err := http.ReadResponse(bufio.NewReader(w.c), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		w.resp, w.r = resp, bufio.NewReader(resp.Body)
	}
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	if w.resp.StatusCode == http.StatusOK {
		spectest.CheckLine(w.t, line)
	} else {
		req, _ := http.NewRequest("POST", prefix+"/events", nil)
		spectest.CheckAnswer(w.t, req, w.resp, []byte(line))
	}
	return parseAnswer(w.t, line)
}

func TestBulkAnswersEachLineAtOnce(t *testing.T) {
	w := start(t).wire(t)
	for i := range 5 {
		w.line(good)
		if a := w.answer(); a.ID != fmt.Sprintf("10-%d", i+1) {
			t.Fatalf("%+v", a)
		}
	}
	w.line("bad")
	if a := w.answer(); a.Line != 6 || a.Error != codeBadRequest {
		t.Errorf("%+v", a)
	}
	w.write("0\r\n\r\n")
	if _, err := w.r.ReadByte(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestBulkOutlivesTheReadTimeout(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.read = 100 * time.Millisecond })
	w := r.wire(t)
	for end := time.Now().Add(3 * r.limits.read); time.Now().Before(end); {
		w.line(good)
		if a := w.answer(); a.Error != "" {
			t.Fatalf("%+v", a)
		}
	}
}

func TestBulkStalls(t *testing.T) {
	w := start(t, func(_ *Config, l *limits) { l.stall = 50 * time.Millisecond }).wire(t)
	w.line(good)
	if a := w.answer(); a.ID != "10-1" {
		t.Errorf("%+v", a)
	}
	if a := w.answer(); a.Line != 2 || a.Error != codeTimeout {
		t.Errorf("%+v", a)
	}
	if _, err := w.r.ReadByte(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestBulkCutOff(t *testing.T) {
	tests := []struct {
		name, header, body string
	}{
		{"chunked", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\n\r\n31\r\n%s", len(good)+1, good, good)},
		{"of a length", "Content-Length: 1000", good + "\n" + good},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			if tt.name == "of a length" { // beyond what fasthttp wants before it calls anyone
				pad := strings.Repeat("\n", 8<<10)
				tt.body, tt.header = pad+tt.body, "Content-Length: 100000"
			}
			w := &wire{t: t, c: r.dial()}
			w.write("POST " + prefix + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminToken +
				"\r\nContent-Type: application/x-ndjson\r\n" + tt.header + "\r\n\r\n" + tt.body)
			if err := w.c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if a := w.answer(); a.ID != "10-1" {
				t.Errorf("%+v", a)
			}
			if a := w.answer(); a.Line < 2 || a.Error != codeBadRequest || !strings.Contains(a.Message, "ended early") {
				t.Errorf("%+v", a)
			}
			if n := len(r.log.events()); n != 1 {
				t.Errorf("%d events are in the log; the second line had no end", n)
			}
		})
	}
}

func TestBulkLogUnreachable(t *testing.T) {
	r := start(t)
	r.log.fail = errors.New("disk full")
	got := r.bulk(strings.NewReader(strings.Repeat(good+"\n", 1000)))
	if len(got) != 1000 {
		t.Fatalf("%d lines", len(got))
	}
	for i, line := range got {
		if a := parseAnswer(t, line); a.Line != i+1 || a.Error != codeUnavailable || !strings.Contains(a.Message, "disk full") {
			t.Fatalf("%s", line)
		}
	}
	if n := strings.Count(r.logs.String(), "disk full"); n != 1 {
		t.Errorf("it is logged %d times, want once", n)
	}
}

func TestBulkOverHTTP10(t *testing.T) {
	r := start(t)
	body := strings.Repeat(good+"\n", 500)
	got := r.raw(fmt.Sprintf("POST %s/events HTTP/1.0\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		prefix, adminToken, typeNDJSON, len(body), body))
	if got.status != 200 || strings.Count(got.body, `"id":`) != 500 {
		t.Errorf("%d, %d receipts", got.status, strings.Count(got.body, `"id":`))
	}
}

// When the client disconnects, the lines that the log was given are still awaited. There are so
// many that their answer is written in two pieces.
func TestBulkClientDisconnects(t *testing.T) {
	r := start(t)
	r.log.close()
	w := r.wire(t)
	w.line(strings.Repeat(`{"all":true,"type":"t"}`+"\n", 300))
	until(t, "the log has the most lines that are allowed", func() bool { return r.log.unanswered() == maxInFlight })
	if err := w.c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = w.c.Close()
	r.log.open()
	until(t, "the log has answered every line", func() bool { return r.log.unanswered() == 0 })
}

func TestKeepAliveAfterBulk(t *testing.T) {
	w := start(t).wire(t)
	w.line(good)
	w.write("0\r\n\r\n")
	br := bufio.NewReader(w.c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	w.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, err = http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("%v, %v", resp, err)
	}
}

// Each line that is not blank has one answer, whatever the lines and the pieces they arrive in.
func FuzzBulk(f *testing.F) {
	for _, s := range []string{
		good + "\n" + good, "\n\n\r\n \n", "bad\n" + good + "\n{", good + "\n" + strings.Repeat("x", 9000) + "\n" + good, "\xff\n\x00\n",
	} {
		f.Add([]byte(s), uint16(7))
	}
	s := start(f).Server
	f.Fuzz(func(t *testing.T, text []byte, cut uint16) {
		p := &pieces{err: io.EOF}
		for rest := text; len(rest) > 0; {
			n := min(len(rest), int(cut)+1)
			p.cut, rest = append(p.cut, rest[:n]), rest[n:]
		}
		limit := s.cfg.MaxPayload + lineSlack
		want := 0
		for line := range bytes.Lines(text) {
			if len(bytes.TrimSuffix(line, []byte("\n"))) > limit || len(bytes.TrimSpace(line)) > 0 {
				want++
			}
		}
		if got := countAnswers(t, s, newLineReader(p, limit)); got != want {
			t.Fatalf("%d answers to %d lines", got, want)
		}
	})
}

// countAnswers publishes the lines, without a network.
func countAnswers(t *testing.T, s *Server, lines *lineReader) (n int) {
	t.Helper()
	server, client := net.Pipe()
	defer func() { _, _ = server.Close(), client.Close() }()
	b := &bulk{s: s, conn: server, lines: lines}
	for {
		out, err := b.produce(nil)
		for line := range bytes.Lines(out) {
			if n++; !json.Valid(line) {
				t.Fatalf("the answer %q is not JSON", line)
			}
		}
		if err == io.EOF {
			return n
		}
		if err != nil || len(out) == 0 {
			t.Fatalf("a piece of %d bytes, %v", len(out), err)
		}
	}
}

func TestShutdownAnswersBulkAndEndsIt(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.drain = 200 * time.Millisecond })
	idle, busy := r.wire(t), r.wire(t)
	idle.line(good)
	if a := idle.answer(); a.ID == "" {
		t.Errorf("%+v", a)
	}
	r.log.close()
	busy.line(good)
	<-r.log.blocked

	done := make(chan error, 1)
	go func() { done <- r.Shutdown(context.Background()) }()
	if a := idle.answer(); a.Line != 2 || a.Error != codeDraining {
		t.Errorf("the idle one ends with %+v", a)
	}
	busy.line(good)
	r.log.open()
	if a := busy.answer(); a.ID == "" {
		t.Errorf("what the log was given is answered by %+v", a)
	}
	if a := busy.answer(); a.Line != 2 || a.Error != codeDraining {
		t.Errorf("what came later is answered by %+v", a)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := len(r.log.events()); n != 2 {
		t.Errorf("%d events are in the log, want 2", n)
	}
}
