// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"

	"gatecast/internal/tlsrecord"
)

// A oneListener gives one connection, and then waits to be closed.
type oneListener struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error   { close(l.closed); return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// echo answers with the request's path and body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, r.URL.Path+" "+string(body))
}

// A rewound connection gives what was read of it once more.
type rewound struct {
	net.Conn
	again []byte
}

func (r *rewound) Read(b []byte) (int, error) {
	if len(r.again) > 0 {
		n := copy(b, r.again)
		r.again = r.again[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// What was read of a connection, and what was not, is net/http's after a rewind,
// and the connection goes on for as many requests as there are.
func TestRewindToHTTP(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		near, far := dial(t)
		var config *TLS
		if form.version != 0 {
			config = form.config()
			far = tls.Client(far, &tls.Config{InsecureSkipVerify: true})
		}
		ln := &oneListener{make(chan net.Conn, 1), make(chan struct{})}
		server := &http.Server{Handler: http.HandlerFunc(echo)}
		var running sync.WaitGroup
		running.Go(func() { server.Serve(ln) })
		running.Go(func() {
			c := NewConn(near, config)
			if err := c.Handshake(); err != nil {
				t.Error(err)
			}
			conn, again := c.Rewind(readRequest(t, c))
			ln.conn <- &rewound{conn, again}
		})
		client := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return far, nil }}
		for i, body := range []string{"first", strings.Repeat("second ", 10_000), ""} {
			if got, reused := post(t, client, body); got != "/path "+body || reused != (i > 0) {
				t.Errorf("request %d: %d bytes answered for %d, on the same connection: %v", i, len(got), len(body), reused)
			}
		}
		client.CloseIdleConnections()
		server.Close()
		running.Wait()
	})
}

func post(t *testing.T, client *http.Transport, body string) (answer string, reused bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://there/path", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), reused
}

// What has been written cannot be taken back: crypto/tls would begin again with
// record 0.
func TestRewindAfterAnyWrite(t *testing.T) {
	for name, write := range map[string]func(*Conn) error{
		"Write":      func(c *Conn) error { _, err := c.Write([]byte("hello")); return err },
		"CloseWrite": (*Conn).CloseWrite,
	} {
		t.Run(name, func(t *testing.T) {
			c, far := shake(t, ownRecords, &tls.Config{InsecureSkipVerify: true})
			defer far.Close()
			defer c.Close()
			far.Write([]byte("request\r\n\r\n"))
			readRequest(t, c)
			if err := write(c); err != nil {
				t.Fatal(err)
			}
			far.Write([]byte("another\r\n\r\n"))
			readRequest(t, c)
			defer func() {
				if recover() == nil {
					t.Error("the connection is rewound")
				}
			}()
			c.Rewind(nil)
		})
	}
}

// A refused peer reads why, and an orderly end, whatever it is still sending.
func TestRefusalOfABusyPeer(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		c, far := shake(t, form, &tls.Config{InsecureSkipVerify: true})
		defer c.Close()
		defer far.Close()
		upload := pattern(3 * maxKept)
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() {
			far.Write([]byte("request\r\n\r\n"))
			far.Write(upload)
			far.(interface{ CloseWrite() error }).CloseWrite()
		})
		got := readRequest(t, c)
		if _, err := c.Write([]byte("refused")); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(c)
		if n := len("request\r\n\r\n") + len(upload); len(got)+len(rest) != n || err != nil {
			t.Errorf("lingering reads %d bytes, %v; want %d", len(got)+len(rest), err, n)
		}
		if why, err := io.ReadAll(far); string(why) != "refused" || err != nil {
			t.Errorf("the peer reads %q, %v; want refused and an orderly end", why, err)
		}
	})
}

// A long answer arrives whole, in records of what size one may have.
func TestRecordConnWrites(t *testing.T) {
	c, far := shake(t, ownRecords, &tls.Config{InsecureSkipVerify: true})
	defer c.Close()
	defer far.Close()
	want := pattern(100_000)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		if n, err := c.Write(want); n != len(want) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	})
	if got := readN(t, far, len(want)); !bytes.Equal(got, want) {
		t.Error("what arrived is not what was written")
	}
}

// What ends a connection behind its request is told after the request: by the
// stream, if the connection has gone to its loop by then.
func TestEndsBehindTheRequest(t *testing.T) {
	for _, tc := range []struct {
		name   string
		behind func(h *handmade) []byte
		want   error
		alert  []byte // what the peer is told
	}{
		{"close_notify", func(h *handmade) []byte { return h.Seal(21, []byte{1, 0}) }, io.EOF, nil},
		{"an alert", func(h *handmade) []byte { return h.Seal(21, []byte{2, 80}) }, tlsrecord.PeerAlert(tlsrecord.InternalError), nil},
		{"a forged record", func(*handmade) []byte { return []byte("\x17\x03\x03\x00\x11seventeen bytes..") },
			tlsrecord.BadRecordMAC, []byte{2, 20}},
		{"no record at all", func(*handmade) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") },
			tlsrecord.UnexpectedMessage, []byte{2, 10}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, c := handmake(t)
			defer h.Close()
			h.Write(append(h.Seal(23, []byte("request\r\n\r\n")), tc.behind(h)...))
			if got := readRequest(t, c); string(got) != "request\r\n\r\n" {
				t.Fatalf("the request is %q", got)
			}
			p := newRig(t).open(c, h)
			p.sink.await(func() bool { return p.sink.err != nil })
			if got, err := p.sink.received(); len(got) > 0 || err != tc.want {
				t.Errorf("received %q, %v; want nothing, %v", got, err, tc.want)
			}
			if tc.alert != nil {
				if contentType, content := h.receive(t); contentType != 21 || !bytes.Equal(content, tc.alert) {
					t.Errorf("the peer is told %d %x, want alert %x", contentType, content, tc.alert)
				}
			}
		})
	}
}
