// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/gatecast/gatecast/test/testenv"
)

// forms are the kinds of streams.
var forms = []form{
	{"plain", 0, false},
	{"TLS 1.2", tls.VersionTLS12, false},
	{"TLS 1.3 by crypto/tls", tls.VersionTLS13, true},
	{"TLS 1.3", tls.VersionTLS13, false},
}

type form struct {
	name    string
	version uint16 // of TLS; 0: none
	stdlib  bool
}

func eachForm(t *testing.T, f func(t *testing.T, form form)) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) { f(t, form) })
	}
}

func TestStreamReads(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		p := newRig(t).connect(form)
		want := pattern(300_000) // more than one event reads
		go func() { p.Write(want) }()
		p.sink.await(func() bool { return p.sink.got.Len() >= len(want) })
		if got, _ := p.sink.received(); !bytes.Equal(got, want) {
			t.Error("what arrived is not what was sent")
		}
	})
}

// A write larger than the socket takes arrives whole, in order, in any number of
// pieces.
func TestStreamWritesMoreThanTheSocketTakes(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		r := newRig(t)
		p := r.connect(form)
		want := pattern(16 << 20)
		var queued, unsent int
		r.do(func() {
			p.sink.send(want)
			queued, unsent = len(p.sink.queue), p.stream.Unsent()
		})
		if queued == 0 {
			t.Fatal("the socket took 16 MiB at once; the test shows nothing")
		}
		if unsent > sealBytes+sealBytes/16 {
			t.Errorf("the stream keeps %d bytes of ciphertext, want at most a chunk", unsent)
		}
		if got := readN(t, p, len(want)); !bytes.Equal(got, want) {
			t.Error("what arrived is not what was sent")
		}
		p.sink.await(func() bool { return p.sink.idle })
	})
}

func TestStreamSeesTheEnd(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		p := newRig(t).connect(form)
		p.Write([]byte("last words"))
		p.Close()
		p.sink.await(func() bool { return p.sink.err != nil })
		got, err := p.sink.received()
		if err != io.EOF || string(got) != "last words" {
			t.Errorf("received %q, %v; want the last words and io.EOF", got, err)
		}
	})
}

func TestStreamReset(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		p := newRig(t).connect(form)
		raw := p.Conn
		if tc, ok := raw.(*tls.Conn); ok {
			raw = tc.NetConn()
		}
		raw.(*net.TCPConn).SetLinger(0)
		raw.Close()
		p.sink.await(func() bool { return p.sink.err != nil })
		if _, err := p.sink.received(); err == io.EOF {
			t.Error("a reset looks like an orderly end")
		}
	})
}

func TestStreamCloseWrite(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		r := newRig(t)
		p := r.connect(form)
		r.do(func() {
			p.sink.send([]byte("end"))
			p.stream.CloseWrite()
		})
		got, err := io.ReadAll(p) // crypto/tls makes a missing close_notify an error
		if err != nil || string(got) != "end" {
			t.Errorf("read %q, %v; want end and an orderly end", got, err)
		}
	})
}

// A record that was altered ends the connection; nothing of it is returned.
func TestTLSStreamRejectsForgery(t *testing.T) {
	for _, form := range forms[1:] {
		t.Run(form.name, func(t *testing.T) {
			p := newRig(t).connect(form)
			raw := p.Conn.(*tls.Conn).NetConn()
			raw.Write([]byte{23, 3, 3, 0, 32})
			raw.Write(make([]byte, 32))
			p.sink.await(func() bool { return p.sink.err != nil })
			if got, err := p.sink.received(); err == io.EOF || len(got) > 0 {
				t.Errorf("received %q, %v; want nothing and an error", got, err)
			}
		})
	}
}

// Bytes that arrive a few at a time are put together; with TLS in one record for each
// few.
func TestStreamReadsPieces(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		p := newRig(t).connect(form)
		want := pattern(3000)
		for i := 0; i < len(want); i += 7 {
			p.Write(want[i:min(i+7, len(want))])
		}
		p.sink.await(func() bool { return p.sink.got.Len() >= len(want) })
		if got, _ := p.sink.received(); !bytes.Equal(got, want) {
			t.Error("what arrived is not what was sent")
		}
	})
}

func TestDetachLeavesOneDescriptor(t *testing.T) {
	eachForm(t, func(t *testing.T, form form) {
		r := newRig(t)
		// Sockets of earlier tests can still be closing. Only new ones are counted.
		before := make(map[string]bool)
		for _, name := range sockets(t) {
			before[name] = true
		}
		const n = 20
		for range n {
			r.connect(form)
		}
		got := 0
		for _, name := range sockets(t) {
			if !before[name] {
				got++
			}
		}
		// One here and one at the far end, which is this process too.
		if got != 2*n {
			t.Errorf("%d connections hold %d descriptors at both ends, want %d", n, got, 2*n)
		}
	})
}

func TestWriteAllocatesNothing(t *testing.T) {
	if testenv.Race {
		t.Skip("allocations cannot be counted under the race detector")
	}
	eachForm(t, func(t *testing.T, form form) {
		r := newRig(t)
		p := r.connect(form)
		go io.Copy(io.Discard, p)
		vec := [][]byte{pattern(200), pattern(200), pattern(200)}
		var allocs float64
		r.do(func() {
			allocs = testing.AllocsPerRun(200, func() {
				if _, err := p.stream.Write(vec); err != nil {
					t.Error(err)
				}
			})
		})
		if allocs > 0 {
			t.Errorf("a write allocates %v times", allocs)
		}
	})
}
