// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/test/testenv"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if where, ok := os.LookupEnv(panicVariable); ok {
		panicIn(where)
	}
	goleak.VerifyTestMain(m)
}

// A rig is a loop that runs the test's functions.
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
	return r.open(shake(r.t, form, &tls.Config{InsecureSkipVerify: true}))
}

// open hands a connection to the loop.
func (r *rig) open(c *Conn, far net.Conn) *peer {
	r.t.Helper()
	if err := c.Detach(); err != nil {
		r.t.Fatal(err)
	}
	p := &peer{Conn: far, sink: newSink()}
	var err error
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

// dial returns the two ends of a TCP connection.
func dial(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if far, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// shake returns a connection in the given form, after its handshake, and the far
// end.
func shake(t *testing.T, form form, client *tls.Config) (*Conn, net.Conn) {
	t.Helper()
	if form.version == 0 {
		near, far := dial(t)
		return NewConn(near, nil), far
	}
	return shakeWith(t, form.config(), client)
}

func shakeWith(t *testing.T, server *TLS, client *tls.Config) (*Conn, net.Conn) {
	t.Helper()
	near, far := dial(t)
	tlsFar := tls.Client(far, client)
	c := NewConn(near, server)
	var farErr error
	var wg sync.WaitGroup
	wg.Go(func() { farErr = tlsFar.Handshake() })
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if wg.Wait(); farErr != nil {
		t.Fatal(farErr)
	}
	return c, tlsFar
}

// config returns the server's configuration of a form with TLS.
func (f form) config() *TLS { return &TLS{Config: serverConfig(f.version), Stdlib: f.stdlib} }

// A sink collects what arrives, and sends what is queued.
type sink struct {
	stream Stream
	queue  []byte // owned by the loop

	mu       sync.Mutex
	cond     *sync.Cond
	got      bytes.Buffer
	readCost int // the sum of the stream's ReadCost
	err      error
	idle     bool // nothing queued or unsent
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
		s.readCost += s.stream.ReadCost()
		if err != nil && err != ErrWouldBlock {
			s.err = err
			s.stream.Close() // an end of file would be reported again and again
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

// sockets returns the sockets that this process has open, by descriptor. Each socket has a name
// of its own; two descriptors of one socket have the same.
func sockets(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]string)
	for _, e := range entries {
		name, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(name, "socket:") {
			open[e.Name()] = name
		}
	}
	return open
}

// pattern returns n bytes in which a misplaced chunk shows.
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
