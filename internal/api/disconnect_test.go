// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gatecast/gatecast/test/testenv"
)

// asking returns a connection with a request that waits for a message.
func (r *rig) asking(c net.Conn) net.Conn {
	r.t.Helper()
	fmt.Fprintf(c, "GET %s/messages?after=m-0&wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", prefix, adminToken)
	<-r.messages.waiting
	return c
}

// wait makes the message list wait until there is a message.
func (r *rig) wait() {
	r.messages.mu.Lock()
	defer r.messages.mu.Unlock()
	r.messages.arrived, r.messages.waiting = make(chan struct{}), make(chan struct{}, 100)
}

// A long poll ends when its client disconnects, in whatever way, and also after the client has sent
// another request.
func TestLongPollEndsWithClient(t *testing.T) {
	for name, leave := range map[string]func(net.Conn) error{
		"closed":   net.Conn.Close,
		"reset":    func(c net.Conn) error { _ = c.(*net.TCPConn).SetLinger(0); return c.Close() },
		"piped on": func(c net.Conn) error { _, _ = io.WriteString(c, "GET /health HTTP/1.1\r\n"); return c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			r.wait()
			c := r.asking(r.dial())
			if err := leave(c); err != nil {
				t.Fatal(err)
			}
			until(t, "no request waits and the connection is closed", func() bool { return r.longPolls.Load() == 0 && r.openConns() == 0 })
		})
	}
	t.Run("over TLS", func(t *testing.T) {
		r := start(t)
		r.wait()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = r.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{testenv.Certificate()}}))
		}()
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.asking(c).Close(); err != nil { // close_notify is data of TCP's
			t.Fatal(err)
		}
		until(t, "no request waits and the connection is closed", func() bool { return r.longPolls.Load() == 0 && r.openConns() == 0 })
	})
}

// A client that closes its writing side is answered at once. One that sends its next request during
// the wait gets both answers.
func TestLongPollOfHalfClosedClient(t *testing.T) {
	r := start(t)
	r.wait()
	half := r.asking(r.dial())
	if err := half.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(half), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the one that ended its side is answered %v, %v", resp, err)
	}

	next := r.asking(r.dial())
	if _, err := io.WriteString(next, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r.messages.add(1)
	close(r.messages.arrived)
	br := bufio.NewReader(next)
	for i := range 2 {
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("request %d is answered %v, %v", i, resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
	}
}

// At the bound, further long polls are refused.
func TestLongPollsAreBounded(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.longPolls = 3 })
	r.wait()
	var waiting []net.Conn
	for range 3 {
		waiting = append(waiting, r.asking(r.dial()))
	}
	if got := r.do("GET", prefix+"/messages?after=m-0&wait=60", ""); got.status != 503 {
		t.Errorf("one too many is answered %d %s", got.status, got.body)
	}
	if got := r.do("GET", prefix+"/messages?after=m-0", ""); got.status != 200 {
		t.Errorf("one that does not wait is answered %d %s", got.status, got.body)
	}
	_ = waiting[0].Close()
	until(t, "another request can wait", func() bool { return r.longPolls.Load() == 2 })
	r.asking(r.dial())
}
