// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"gatecast/internal/testenv"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a loop that runs what the test hands it.
type rig struct {
	t     *testing.T
	loop  *Loop
	inbox Inbox[func()]
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t}
	var err error
	r.loop, err = Start(Config{
		Turn: func(time.Time) bool {
			for _, f := range r.inbox.Take(nil) {
				f()
			}
			return false
		},
		Tick:      func(time.Time) {},
		TickEvery: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.loop.Close)
	return r
}

// do runs f on the loop and waits for it.
func (r *rig) do(f func()) {
	done := make(chan struct{})
	r.inbox.Push(func() { defer close(done); f() })
	r.loop.Ring()
	<-done
}

// A peer is the far end of a stream, as a blocking connection.
type peer struct {
	net.Conn
	stream Stream
	sink   *sink
}

// connect returns a stream of the rig's loop and its far end, over loopback
// TCP, in the given form.
func (r *rig) connect(form form) *peer {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	near, err := ln.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	var config *TLS
	if form.version != 0 {
		config = &TLS{Config: serverConfig(form.version), Stdlib: form.stdlib}
		far = tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	}
	c := NewConn(near, config)
	var farErr error
	var wg sync.WaitGroup
	if tc, ok := far.(*tls.Conn); ok {
		wg.Go(func() { farErr = tc.Handshake() })
	}
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	if wg.Wait(); farErr != nil {
		r.t.Fatal(farErr)
	}
	if err := c.Detach(); err != nil {
		r.t.Fatal(err)
	}
	p := &peer{Conn: far, sink: newSink()}
	r.do(func() {
		p.stream, err = r.loop.Open(c, p.sink)
		p.sink.stream = p.stream
		p.sink.Readable()
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		r.do(p.stream.Close)
		far.Close()
	})
	return p
}

// A sink keeps what arrives, and sends what is queued.
type sink struct {
	stream Stream
	queue  []byte // the loop's

	mu   sync.Mutex
	cond *sync.Cond
	got  bytes.Buffer
	err  error
	idle bool // nothing queued or unsent
}

func newSink() *sink {
	s := &sink{idle: true}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *sink) Readable() {
	for {
		b, err := s.stream.Read()
		s.mu.Lock()
		s.got.Write(b)
		if err != nil && err != ErrWouldBlock {
			s.err = err
			s.stream.Close() // an end of file would be told again and again
		}
		s.cond.Broadcast()
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *sink) Writable() { s.flush() }

func (s *sink) send(b []byte) {
	s.queue = append(s.queue, b...)
	s.flush()
}

func (s *sink) flush() {
	n, err := s.stream.Write([][]byte{s.queue[:len(s.queue)/3], nil, s.queue[len(s.queue)/3:]})
	s.queue = s.queue[n:]
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = err
	}
	s.idle = len(s.queue) == 0 && s.stream.Unsent() == 0
	s.cond.Broadcast()
}

// received returns what has arrived, and the error that ended it.
func (s *sink) received() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.got.Bytes()), s.err
}

// await waits until cond, which holds s.mu, is true.
func (s *sink) await(cond func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !cond() {
		s.cond.Wait()
	}
}

func serverConfig(version uint16) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{testenv.Certificate()}, MinVersion: version, MaxVersion: version, DynamicRecordSizingDisabled: true}
}

// descriptors counts the process's open descriptors.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// pattern returns n bytes that tell a misplaced chunk.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func readN(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}
