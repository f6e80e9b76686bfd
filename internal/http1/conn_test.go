// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLooksLikeRequestLine(t *testing.T) {
	for text, want := range map[string][2]bool{
		"":                                    {false, true},
		"G":                                   {false, true},
		"GET ":                                {false, true},
		"GET / HTTP/1.1":                      {false, true},
		"GET / HTTP/1.1\r\n":                  {true, false},
		"GET / HTTP/1.1\n":                    {true, false},
		"PRI * HTTP/2.0\r\n\r\nSM":            {true, false},
		"M-SEARCH * HTTP/1.1\r\nX":            {true, false},
		"GET / HTTP/1.:\r\n":                  {false, false},
		"GET /\r\n":                           {false, false},
		"hello\r\n":                           {false, false},
		"hello there, you!\r\n":               {false, false},
		" / HTTP/1.1\r\n":                     {false, false},
		"\x16\x03\x01":                        {false, false},
		"\x80abc":                             {false, false},
		strings.Repeat("A", 33):               {false, false},
		"GET " + strings.Repeat("/", MaxHead): {false, false},
	} {
		is, more := RequestLine([]byte(text))
		if is != want[0] || more != want[1] {
			t.Errorf("%.40q: %v, %v; want %v", text, is, more, want)
		}
	}
}

// A deadlineConn records the read deadline. Without text its reads fail.
type deadlineConn struct {
	net.Conn
	deadline time.Time
	text     string
}

func (c *deadlineConn) SetReadDeadline(t time.Time) error { c.deadline = t; return nil }

func (c *deadlineConn) Read(b []byte) (int, error) {
	if c.text == "" {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.text)
	c.text = c.text[n:]
	return n, nil
}

// A head has its own deadline from its first byte on. After it the server's deadline
// counts again. Empty lines are not a first byte.
func TestHeadTimeout(t *testing.T) {
	under := &deadlineConn{}
	refused := make([]*Error, 0)
	c := NewConn(under, &Rules{HeadTimeout: time.Minute, Refuse: func(bad *Error) []byte { refused = append(refused, bad); return nil }}, nil)
	idle := time.Now().Add(time.Hour)
	_ = c.SetReadDeadline(idle)
	b := make([]byte, 100)
	under.text = "\r\n\r\n"
	if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || !under.deadline.Equal(idle) {
		t.Errorf("idle: %v, the deadline is in %v", err, time.Until(under.deadline))
	}
	under.text = "GET / "
	if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || time.Until(under.deadline) > time.Minute {
		t.Errorf("begun: %v, the deadline is in %v", err, time.Until(under.deadline))
	}
	_ = c.SetReadDeadline(idle.Add(1))
	if time.Until(under.deadline) > time.Minute {
		t.Errorf("the server's deadline counts: in %v", time.Until(under.deadline))
	}
	under.text = "HTTP/1.0\r\n\r\n"
	if n, err := c.Read(b); err != nil || string(b[:n]) != "GET / HTTP/1.0\r\n\r\n" || !under.deadline.Equal(idle.Add(1)) {
		t.Errorf("%q, %v, the deadline is in %v", b[:n], err, time.Until(under.deadline))
	}
	under.text = "GET"
	_, _ = c.Read(b)
	c.headDeadline = time.Now().Add(-1)
	if _, err := c.Read(b); err != io.EOF || len(refused) != 1 || refused[0] != ErrTimeout {
		t.Errorf("late: %v, %v", err, refused)
	}
}

// A server that reads ahead gets one byte of the next request, and the checked rest when
// it is idle. Of a malformed request it gets no more than that byte.
func TestReadAhead(t *testing.T) {
	const first, second = "GET /1 HTTP/1.0\r\n\r\n", "GET /2 HTTP/1.0\r\n\r\n"
	for _, slow := range []bool{false, true} {
		for _, next := range []string{second, "\r\n\r\n" + second, "GE(" + second, "\r" + second} {
			r := io.Reader(strings.NewReader(first + next))
			if slow {
				r = iotest.OneByteReader(r)
			}
			var bad *Error
			c := NewConn(&sentConn{Reader: r}, &Rules{Refuse: func(e *Error) []byte { bad = e; return nil }}, nil)
			c.ReadsAhead = true
			b := make([]byte, len(first))
			if _, err := io.ReadFull(c, b); err != nil || string(b) != first {
				t.Fatalf("%q, %v", b, err)
			}
			if n, err := c.Read(b); n != 1 || err != nil || bad != nil {
				t.Fatalf("%d, %v, %v", n, err, bad)
			}
			c.Idle()
			n, err := io.ReadFull(c, b[1:])
			if strings.HasSuffix(next, "\n"+second) || next == second {
				if string(b) != second || err != nil {
					t.Errorf("%q: %q, %v", next, b, err)
				}
			} else if n > 0 || bad == nil {
				t.Errorf("%q: %q, %v", next, b[:n], err)
			}
		}
	}
}

// The server's Close and deadlines have no effect on a hijacked connection. A closed
// connection is not hijacked.
func TestHijack(t *testing.T) {
	const head = "GET /hijack HTTP/1.0\r\n\r\n"
	for _, closed := range []bool{false, true} {
		near, far := net.Pipe()
		defer far.Close()
		go io.WriteString(far, head+"rest")
		c := NewConn(near, &Rules{Hijacks: func(h *Head) bool { return h.URL.Path == "/hijack" }}, nil)
		var hijacked, after string
		c.OnHijack = func(h *Head, b []byte) { hijacked, after = h.Text(), string(b) }
		c.closed = closed
		if n, err := c.Read(make([]byte, 100)); n != 0 || err != io.EOF {
			t.Errorf("%d, %v", n, err)
		}
		if closed != (hijacked == "") || !closed && (hijacked != head || after != "rest") {
			t.Errorf("closed %v: hijacked %q, and %q", closed, hijacked, after)
		}
		if closed {
			continue
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if c.SetDeadline(time.Now()) == nil || c.SetReadDeadline(time.Now()) == nil || c.CloseWrite() == nil {
			t.Error("the server can still set something")
		}
		go far.Read(make([]byte, 1))
		if _, err := near.Write([]byte("x")); err != nil {
			t.Errorf("the connection is closed: %v", err)
		}
		near.Close()
	}
}

func TestTooManyEmptyLines(t *testing.T) {
	var bad *Error
	c := NewConn(&sentConn{Reader: strings.NewReader(strings.Repeat("\r\n", 600) + "GET / HTTP/1.0\r\n\r\n")},
		&Rules{Refuse: func(e *Error) []byte { bad = e; return nil }}, nil)
	if _, err := c.Read(make([]byte, 100)); err != io.EOF || bad == nil {
		t.Errorf("%v, %v", err, bad)
	}
}
