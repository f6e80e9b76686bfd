// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"testing"

	"github.com/gatecast/gatecast/internal/tlsrecord"

	"golang.org/x/sys/unix"
)

// If epoll refuses a connection, here because its descriptor is a file's, Open wipes
// its keys and closes its descriptor.
func TestOpenThatFails(t *testing.T) {
	_, c := dialRawTLS(t)
	if err := c.Detach(); err != nil {
		t.Fatal(err)
	}
	unix.Close(c.fd)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if c.fd, err = unix.Dup(int(file.Fd())); err != nil {
		t.Fatal(err)
	}
	fd, session := c.fd, c.records.session
	r := newRig(t)
	var opened Stream
	r.do(func() { opened, err = r.loop.Open(c, newSink()) })
	if err == nil || opened != nil {
		t.Fatalf("Open = %v, %v; want an error", opened, err)
	}
	if session.Err() != tlsrecord.ErrClosed {
		t.Errorf("the session is not wiped: %v", session.Err())
	}
	if out, _, err := session.BeginRecord(nil); err == nil {
		t.Errorf("it still seals: %x", out)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor is open: %v", err)
	}
}

// Close before Open wipes the keys, before and after Detach, and closes once.
func TestCloseBeforeOpenWipes(t *testing.T) {
	for _, detached := range []bool{false, true} {
		_, c := dialRawTLS(t)
		if detached {
			if err := c.Detach(); err != nil {
				t.Fatal(err)
			}
		}
		session := c.records.session
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		_ = c.Close() // does nothing, even if the number is another file's by now
		if session.Err() != tlsrecord.ErrClosed {
			t.Errorf("detached %v: the session is not wiped: %v", detached, session.Err())
		}
	}
}

// Every close sends close_notify, whether the peer has sent one or not: the peer reads
// an orderly end and not a truncation.
func TestCloseNotify(t *testing.T) {
	for _, form := range forms[1:] {
		for name, closes := range map[string]func(t *testing.T, c *Conn, far net.Conn){
			"before its loop": func(t *testing.T, c *Conn, _ net.Conn) { _ = c.Close() },
			"on its loop": func(t *testing.T, c *Conn, far net.Conn) {
				r := newRig(t)
				p := r.open(c, far)
				r.do(p.stream.Close)
			},
			"on its loop, after the peer": func(t *testing.T, c *Conn, far net.Conn) {
				r := newRig(t)
				p := r.open(c, far)
				if err := far.(*tls.Conn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				p.sink.await(func() bool { return p.sink.err != nil })
				r.do(p.stream.Close)
			},
			"with its last words": func(t *testing.T, c *Conn, far net.Conn) {
				r := newRig(t)
				p := r.open(c, far)
				r.do(p.stream.CloseWrite) // Close does not send it again
				r.do(p.stream.Close)
			},
		} {
			t.Run(form.name+" "+name, func(t *testing.T) {
				c, far := shake(t, form, &tls.Config{InsecureSkipVerify: true})
				closes(t, c, far)
				if n, err := far.Read(make([]byte, 1)); n > 0 || err != io.EOF {
					t.Errorf("the peer reads %d bytes, %v; want an orderly end", n, err)
				}
			})
		}
	}
	t.Run("after it was detached", func(t *testing.T) {
		h, c := dialRawTLS(t)
		if err := c.Detach(); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if contentType, content := h.receive(t); contentType != 21 || string(content) != "\x01\x00" {
			t.Errorf("the peer receives %d %x, want close_notify", contentType, content)
		}
	})
}
