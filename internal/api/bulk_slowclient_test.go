// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// sendBulk sends a whole bulk publish without reading, and returns its connection.
func (r *rig) sendBulk(t *testing.T, send func(w io.Writer) error) (conn io.Closer, answer *bufio.Reader) {
	t.Helper()
	c := r.dial()
	bw := bufio.NewWriterSize(c, 32<<10)
	fmt.Fprintf(bw, "POST %s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n",
		prefix, adminToken, typeNDJSON)
	if err := send(&chunks{bw}); err != nil {
		t.Fatalf("the client cannot send all before it reads: %v", err)
	}
	fmt.Fprint(bw, "0\r\n\r\n")
	if err := bw.Flush(); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// chunks writes HTTP chunks.
type chunks struct{ w io.Writer }

func (c *chunks) Write(b []byte) (int, error) {
	_, err := fmt.Fprintf(c.w, "%x\r\n%s\r\n", len(b), b)
	return len(b), err
}

// A client can send all lines, valid and invalid ones of any size, before it reads the first answer,
// although the sockets cannot hold the answers.
func TestBulkClientReadsLast(t *testing.T) {
	const n = 60_000
	r := start(t, func(c *Config, l *limits) { c.TempDir = t.TempDir() })
	long := strings.Repeat("x", 2*r.cfg.MaxPayload+2*lineSlack)
	c, answer := r.sendBulk(t, func(w io.Writer) error {
		bw := bufio.NewWriter(w)
		for i := range n {
			switch {
			case i%1000 == 998:
				fmt.Fprintln(bw, long)
			case i%10 == 9:
				fmt.Fprintf(bw, `{"gatewayId":"g1","type":"t","%s":1}`+"\n", long[:1000])
			default:
				fmt.Fprintf(bw, `{"gatewayId":"g1","type":"t","correlationId":"%d"}`+"\n", i)
			}
		}
		return bw.Flush()
	})
	defer c.Close()
	resp, err := http.ReadResponse(answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for i := range n {
		if !lines.Scan() {
			t.Fatalf("the answer ends after %d lines: %v", i, lines.Err())
		}
		if bad := i%1000 == 998 || i%10 == 9; bad != (parseAnswer(t, lines.Text()).Line == i+1) {
			t.Fatalf("line %d is answered by %.200s", i+1, lines.Text())
		}
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the last line: %q, %v", lines.Text(), lines.Err())
	}
	until(t, "no answers are in files", func() bool { return r.answerFileBytes.Load() == 0 })
}

// A client that sends everything and never reads is cut off, after the end of its request or when
// its answers reach the bound.
func TestBulkClientNeverReads(t *testing.T) {
	for name, spooled := range map[string]int64{"its request has ended": 1 << 30, "no more can wait": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(c *Config, l *limits) {
				c.TempDir, l.write, l.answerFiles = t.TempDir(), 100*time.Millisecond, spooled
			})
			w := r.wire(t)
			w.line(good)
			go func() { // it fails when the server has had enough
				for range 1000 { // 100,000 lines
					if _, err := fmt.Fprintf(w.c, "%x\r\n%s\r\n", 100*(len(good)+1), strings.Repeat(good+"\n", 100)); err != nil {
						return
					}
				}
				_, _ = io.WriteString(w.c, "0\r\n\r\n")
			}()
			until(t, "the bulk has ended", func() bool { return len(r.audits()) == 1 })
			until(t, "no answers are in files", func() bool { return r.answerFileBytes.Load() == 0 })
		})
	}
}

// A panic over one line fails that line only. It is counted, and the audit line says that the
// publish failed.
func TestBulkPanicFailsOneLine(t *testing.T) {
	r := start(t, func(c *Config, _ *limits) { c.Registry = panickingAt{c.Registry, "g2"} })
	got := r.bulk(strings.NewReader(good + "\n" + strings.Replace(good, "g1", "g2", 1) + "\n" + good + "\n"))
	if len(got) != 3 || parseAnswer(t, got[0]).ID == "" || parseAnswer(t, got[2]).ID == "" {
		t.Fatalf("%s", strings.Join(got, "\n"))
	}
	if a := parseAnswer(t, got[1]); a.Line != 2 || a.Error != codeInternal {
		t.Errorf("the line is answered by %s", got[1])
	}
	if m := r.do("GET", "/metrics", ""); !strings.Contains(m.body, `gatecast_panics_total{listener="internal"} 1`) {
		t.Error("it is not counted")
	}
	until(t, "the audit has a line", func() bool { return len(r.audits()) > 0 })
	if a := r.audits()[0]; a["outcome"] != codeInternal || a["published"] != 2.0 || a["refused"] != 1.0 {
		t.Errorf("the audit says %v", a)
	}
	if err := r.StopPublishing(context.Background()); err != nil { // nothing is left in the gate
		t.Error(err)
	}
}

// A panickingAt registry panics for one gateway.
type panickingAt struct {
	Registry
	id string
}

func (p panickingAt) Reach(t event.Target) (targets, connected int, unknown string) {
	if len(t.GatewayIDs) > 0 && t.GatewayIDs[0] == p.id {
		panic("no such shard")
	}
	return p.Registry.Reach(t)
}
