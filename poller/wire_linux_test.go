// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"testing"
	_ "unsafe" // for linkname

	"github.com/gatecast/gatecast/test/testenv"
)

// The cipher suites of crypto/tls, on machines with and without AES instructions.
// crypto/tls has no setting for them; Go keeps the names for programs that set them.
var (
	//go:linkname suitesOfTLS13 crypto/tls.defaultCipherSuitesTLS13
	suitesOfTLS13 []uint16
	//go:linkname suitesOfTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
	suitesOfTLS13NoAES []uint16
)

// only limits crypto/tls to one suite until the test ends.
func only(t *testing.T, id uint16) {
	before, beforeNoAES := suitesOfTLS13, suitesOfTLS13NoAES
	suitesOfTLS13, suitesOfTLS13NoAES = []uint16{id}, []uint16{id}
	t.Cleanup(func() { suitesOfTLS13, suitesOfTLS13NoAES = before, beforeNoAES })
}

var ownRecords = form{"TLS 1.3", tls.VersionTLS13, false}

// A slowReader reads less than has arrived: at most max bytes at once, if max is not 0,
// and no bytes after cut together with bytes before it.
type slowReader struct {
	*net.TCPConn
	max, cut int
	read     int
}

func (s *slowReader) Read(b []byte) (int, error) {
	if s.max > 0 {
		b = b[:min(len(b), s.max)]
	}
	if s.read < s.cut {
		b = b[:min(len(b), s.cut-s.read)]
	}
	n, err := s.TCPConn.Read(b)
	s.read += n
	return n, err
}

// A batchWriter sends its first write, the ClientHello, and holds later writes until
// send sends all of them at once.
type batchWriter struct {
	net.Conn
	firstLen int // bytes of the first write
	held     []byte
	sent     bool
}

func (h *batchWriter) Write(b []byte) (int, error) {
	if h.firstLen == 0 {
		h.firstLen = len(b)
	} else if !h.sent {
		h.held = append(h.held, b...)
		return len(b), nil
	}
	return h.Conn.Write(b)
}

func (h *batchWriter) send() error {
	h.sent = true
	_, err := h.Conn.Write(h.held)
	return err
}

// The application's first records arrive with the client's last flight in one segment,
// or in any pieces. Nothing is lost, and nothing comes twice.
func TestRecordsAfterTheHandshake(t *testing.T) {
	cases := []struct {
		name  string
		form  form
		suite uint16
		taken bool
	}{
		{"AES-128", ownRecords, tls.TLS_AES_128_GCM_SHA256, true},
		{"AES-256", ownRecords, tls.TLS_AES_256_GCM_SHA384, true},
		{"ChaCha20, left to crypto/tls", ownRecords, tls.TLS_CHACHA20_POLY1305_SHA256, false},
		{"all left to crypto/tls", forms[2], tls.TLS_AES_128_GCM_SHA256, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			only(t, tc.suite)
			r := newRig(t)
			firstLen, flight := arrive(r, tc.form, tc.taken, 0, 0)
			for _, most := range []int{1, 2, 4, 5, 6, 100} {
				arrive(r, tc.form, tc.taken, most, 0)
			}
			for cut := 0; cut < flight; cut++ {
				if cut > 200 && cut%200 > 2 {
					continue // inside the largest record
				}
				arrive(r, tc.form, tc.taken, 0, firstLen+cut)
			}
		})
	}
}

// arrive makes a client send everything at once, and the server read it through a
// slowReader. It returns the length of the ClientHello, and of everything that came
// with the last flight.
func arrive(r *rig, form form, takenOver bool, most, cut int) (firstLen, flight int) {
	request, frame, large := []byte("request\r\n\r\n"), []byte("a frame after it"), pattern(3000)
	near, far := dial(r.t)
	batch := &batchWriter{Conn: far}
	client := tls.Client(batch, &tls.Config{InsecureSkipVerify: true})
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, b := range [][]byte{request, frame, large} {
			if _, err := client.Write(b); err != nil {
				r.t.Error(err)
			}
		}
		if err := batch.send(); err != nil {
			r.t.Error(err)
		}
	})
	c := NewConn(&slowReader{TCPConn: near.(*net.TCPConn), max: most, cut: cut}, form.config())
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	wg.Wait()
	if got := c.records != nil; got != takenOver {
		r.t.Fatalf("the records are taken over: %v, want %v", got, takenOver)
	}
	got := readRequest(r.t, c)
	got = append(got, c.Buffered()...)
	p := r.open(c, client)
	client.Write([]byte("later"))
	want := slices.Concat(request, frame, large, []byte("later"))
	p.sink.await(func() bool { return len(got)+p.sink.got.Len() >= len(want) || p.sink.err != nil })
	rest, err := p.sink.received()
	if got = append(got, rest...); !bytes.Equal(got, want) || err != nil {
		r.t.Fatalf("at most %d bytes at once, cut at %d: sent %d bytes, received %d other bytes, %v", most, cut, len(want), len(got), err)
	}
	r.do(p.stream.Close)
	client.Close()
	return batch.firstLen, len(batch.held)
}

// readRequest reads to the end of a request's head, with what comes with it.
func readRequest(t *testing.T, c *Conn) (got []byte) {
	t.Helper()
	for buf := make([]byte, 100); !bytes.Contains(got, []byte("\r\n\r\n")); {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	return got
}

// Which connections' records are taken over after the handshake.
func TestTakeover(t *testing.T) {
	cases := []struct {
		name  string
		form  form
		suite uint16
		setup func(server, client *tls.Config)
		taken bool
	}{
		{"AES-128", ownRecords, tls.TLS_AES_128_GCM_SHA256, nil, true},
		{"AES-256", ownRecords, tls.TLS_AES_256_GCM_SHA384, nil, true},
		{"ChaCha20", ownRecords, tls.TLS_CHACHA20_POLY1305_SHA256, nil, false},
		{"TLS 1.2", forms[1], tls.TLS_AES_128_GCM_SHA256, nil, false},
		{"by setting", forms[2], tls.TLS_AES_128_GCM_SHA256, nil, false},
		{"HelloRetryRequest", ownRecords, tls.TLS_AES_128_GCM_SHA256, func(server, _ *tls.Config) {
			server.CurvePreferences = []tls.CurveID{tls.CurveP384}
		}, true},
		{"client certificate", ownRecords, tls.TLS_AES_128_GCM_SHA256, func(server, client *tls.Config) {
			server.ClientAuth = tls.RequireAnyClientCert
			client.Certificates = []tls.Certificate{testenv.Certificate()}
		}, true},
		{"a configuration by the ClientHello", ownRecords, tls.TLS_AES_128_GCM_SHA256, func(server, _ *tls.Config) {
			own := server.Clone()
			server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }
		}, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			only(t, tc.suite)
			server, client := tc.form.config(), &tls.Config{InsecureSkipVerify: true}
			if tc.setup != nil {
				tc.setup(server.Config, client)
			}
			c, far := shakeWith(t, server, client)
			if got := c.records != nil; got != tc.taken {
				t.Errorf("the records are taken over: %v, want %v", got, tc.taken)
			}
			p := newRig(t).open(c, far)
			p.Write([]byte("hello"))
			p.sink.await(func() bool { return p.sink.got.Len() == 5 })
		})
	}
}

// While records are taken over no client gets a session ticket, in either version.
func TestNoTickets(t *testing.T) {
	for _, tc := range []struct {
		form    form
		resumes bool
	}{{ownRecords, false}, {form{"TLS 1.2", tls.VersionTLS12, false}, false}, {forms[2], true}} {
		t.Run(tc.form.name, func(t *testing.T) {
			server := tc.form.config()
			client := &tls.Config{InsecureSkipVerify: true, ServerName: "there", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for again := range 2 {
				c, far := shakeWith(t, server, client)
				c.Write([]byte("hello"))
				readN(t, far, 5) // with the ticket before it
				if got := far.(*tls.Conn).ConnectionState().DidResume; got != (tc.resumes && again == 1) {
					t.Errorf("connection %d resumes a session: %v", again, got)
				}
				far.Close()
				c.Close()
			}
		})
	}
}
