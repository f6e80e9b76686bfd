// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bufio"
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

	"github.com/gatecast/gatecast/internal/tlsrecord"
)

// A oneListener accepts one connection, and then waits to be closed.
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

// A rewound returns what was read of a connection once more.
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

// After a rewind net/http gets what was read of a connection and what was not, and the
// connection serves further requests.
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

// After a write a connection cannot be rewound: crypto/tls would begin with record 0
// again.
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

// padded returns data in records of one byte each, padded to the maximum length.
func padded(h *rawTLSClient, data string) (records []byte) {
	for i := range len(data) {
		inner := make([]byte, tlsrecord.MaxPlaintext)
		inner[0], inner[1] = data[i], 23
		records = append(records, h.Seal(0, inner)...) // type 0 is one more zero of padding
	}
	return records
}

// A request that is nearly all padding is served like any other, and so are further
// requests of the connection (RFC 8446 section 5.4).
func TestPaddedRequest(t *testing.T) {
	h, c := dialRawTLS(t)
	ln := &oneListener{make(chan net.Conn, 1), make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(echo)}
	var running sync.WaitGroup
	running.Go(func() { server.Serve(ln) })
	request := "POST /path HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
	sent := make(chan struct{})
	go func() { h.Write(padded(h, request+"body")); close(sent) }()
	read := readRequest(t, c)
	if !c.records.keptOver {
		t.Fatal("all of it was kept; pad more")
	}
	conn, again := c.Rewind(read)
	ln.conn <- &rewound{conn, again}
	<-sent
	for range 3 {
		if got := h.response(t); got != "/path body" {
			t.Fatalf("answered %q", got)
		}
		h.Write(h.KeyUpdate(1))
		h.Write(h.Seal(23, []byte(request+"body")))
	}
	if got := h.response(t); got != "/path body" {
		t.Fatalf("answered %q", got)
	}
	h.Write(h.Seal(21, []byte{1, 0})) // close_notify
	if contentType, content := h.receive(t); contentType != 21 || string(content) != "\x01\x00" {
		t.Errorf("close_notify is answered by %d %q", contentType, content)
	}
	server.Close()
	running.Wait()
}

// response reads an HTTP response and returns its body.
func (h *rawTLSClient) response(t *testing.T) string {
	t.Helper()
	pr, pw := io.Pipe()
	go func() {
		for {
			contentType, content := h.receive(t)
			if contentType != 23 {
				continue // a key update
			}
			if _, err := pw.Write(content); err != nil || bytes.HasSuffix(content, []byte("body")) {
				return
			}
		}
	}()
	response, err := http.ReadResponse(bufio.NewReader(pr), nil)
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, response.ContentLength)
	if _, err := io.ReadFull(response.Body, body); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// A connection whose upgrade request is nearly all padding reaches its loop.
func TestPaddedUpgrade(t *testing.T) {
	h, c := dialRawTLS(t)
	go h.Write(append(padded(h, "request\r\n\r\n"), h.Seal(23, []byte("frame"))...))
	got := append(readRequest(t, c), c.Buffered()...)
	p := newRig(t).open(c, h)
	p.sink.await(func() bool { return len(got)+p.sink.got.Len() >= len("request\r\n\r\nframe") })
	rest, err := p.sink.received()
	if got = append(got, rest...); string(got) != "request\r\n\r\nframe" || err != nil {
		t.Errorf("%q came, %v", got, err)
	}
}

// A refused peer reads the reason and an orderly end, even while it is sending.
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

// A long answer arrives whole, in records of the allowed size.
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

// What ends a connection after its request is reported after the request: by the
// stream, if a loop has the connection by then.
func TestEndAfterTheRequest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after func(h *rawTLSClient) []byte
		want  error
		alert []byte // sent to the peer
	}{
		{"close_notify", func(h *rawTLSClient) []byte { return h.Seal(21, []byte{1, 0}) }, io.EOF, nil},
		{"an alert", func(h *rawTLSClient) []byte { return h.Seal(21, []byte{2, 80}) }, tlsrecord.PeerAlert(tlsrecord.InternalError), nil},
		{"a forged record", func(*rawTLSClient) []byte { return []byte("\x17\x03\x03\x00\x11seventeen bytes..") },
			tlsrecord.BadRecordMAC, []byte{2, 20}},
		{"no record at all", func(*rawTLSClient) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") },
			tlsrecord.UnexpectedMessage, []byte{2, 10}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, c := dialRawTLS(t)
			defer h.Close()
			h.Write(append(h.Seal(23, []byte("request\r\n\r\n")), tc.after(h)...))
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
					t.Errorf("the peer receives %d %x, want alert %x", contentType, content, tc.alert)
				}
			}
		})
	}
}
