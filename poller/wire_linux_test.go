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

// What crypto/tls offers and takes, on machines with and without instructions for
// AES. It has no setting for it; Go keeps the names for programs that set them.
var (
	//go:linkname suitesOfTLS13 crypto/tls.defaultCipherSuitesTLS13
	suitesOfTLS13 []uint16
	//go:linkname suitesOfTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
	suitesOfTLS13NoAES []uint16
)

// only makes crypto/tls know one suite until the test ends.
func only(t *testing.T, id uint16) {
	before, beforeNoAES := suitesOfTLS13, suitesOfTLS13NoAES
	suitesOfTLS13, suitesOfTLS13NoAES = []uint16{id}, []uint16{id}
	t.Cleanup(func() { suitesOfTLS13, suitesOfTLS13NoAES = before, beforeNoAES })
}

var ownRecords = form{"TLS 1.3", tls.VersionTLS13, false}

// A sipping connection gives less than has arrived: at most a number of bytes at
// once, if it is not 0, and none from behind a place together with some from
// ahead of it.
type sipping struct {
	*net.TCPConn
	most, place int
	read        int
}

func (s *sipping) Read(b []byte) (int, error) {
	if s.most > 0 {
		b = b[:min(len(b), s.most)]
	}
	if s.read < s.place {
		b = b[:min(len(b), s.place-s.read)]
	}
	n, err := s.TCPConn.Read(b)
	s.read += n
	return n, err
}

// A hoarder sends its first write, the ClientHello, and keeps what comes after it
// until it is told to send all of it at once.
type hoarder struct {
	net.Conn
	hello   int // bytes of the first write
	hoarded []byte
	sent    bool
}

func (h *hoarder) Write(b []byte) (int, error) {
	if h.hello == 0 {
		h.hello = len(b)
	} else if !h.sent {
		h.hoarded = append(h.hoarded, b...)
		return len(b), nil
	}
	return h.Conn.Write(b)
}

func (h *hoarder) send() error {
	h.sent = true
	_, err := h.Conn.Write(h.hoarded)
	return err
}

// The application's first records come with the client's last flight in one
// segment, or in any pieces; nothing is lost, and nothing comes twice.
func TestRecordsBehindTheHandshake(t *testing.T) {
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
			hello, flight := arrive(r, tc.form, tc.taken, 0, 0)
			for _, most := range []int{1, 2, 4, 5, 6, 100} {
				arrive(r, tc.form, tc.taken, most, 0)
			}
			for place := 0; place < flight; place++ {
				if place > 200 && place%200 > 2 {
					continue // inside the largest record
				}
				arrive(r, tc.form, tc.taken, 0, hello+place)
			}
		})
	}
}

// arrive has a client send everything at once, and the server read it through a
// sipping connection. It returns how long the ClientHello was, and all that came
// with the last flight.
func arrive(r *rig, form form, taken bool, most, place int) (hello, flight int) {
	request, frame, large := []byte("request\r\n\r\n"), []byte("a frame behind it"), pattern(3000)
	near, far := dial(r.t)
	hoard := &hoarder{Conn: far}
	client := tls.Client(hoard, &tls.Config{InsecureSkipVerify: true})
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, b := range [][]byte{request, frame, large} {
			if _, err := client.Write(b); err != nil {
				r.t.Error(err)
			}
		}
		if err := hoard.send(); err != nil {
			r.t.Error(err)
		}
	})
	c := NewConn(&sipping{TCPConn: near.(*net.TCPConn), most: most, place: place}, form.config())
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	wg.Wait()
	if got := c.records != nil; got != taken {
		r.t.Fatalf("the records are taken over: %v, want %v", got, taken)
	}
	got := readRequest(r.t, c)
	got = append(got, c.Buffered()...)
	p := r.open(c, client)
	client.Write([]byte("later"))
	want := slices.Concat(request, frame, large, []byte("later"))
	p.sink.await(func() bool { return len(got)+p.sink.got.Len() >= len(want) || p.sink.err != nil })
	rest, err := p.sink.received()
	if got = append(got, rest...); !bytes.Equal(got, want) || err != nil {
		r.t.Fatalf("at most %d bytes at once, cut at %d: %d bytes came as %d others, %v", most, place, len(want), len(got), err)
	}
	r.do(p.stream.Close)
	client.Close()
	return hoard.hello, len(hoard.hoarded)
}

// readRequest reads up to the end of a request's head, and what comes with it.
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

// Whose records are taken over after the handshake.
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
		{"told not to", forms[2], tls.TLS_AES_128_GCM_SHA256, nil, false},
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

// While records are taken over no client is given a ticket, of either version.
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
				readN(t, far, 5) // and the ticket ahead of it
				if got := far.(*tls.Conn).ConnectionState().DidResume; got != (tc.resumes && again == 1) {
					t.Errorf("connection %d resumes a session: %v", again, got)
				}
				far.Close()
				c.Close()
			}
		})
	}
}
