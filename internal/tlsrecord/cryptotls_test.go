// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/gatecast/gatecast/test/testenv"

	"pgregory.net/rapid"
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

// A meeting is two ends of crypto/tls after their handshake, and a session that
// continues for one of them.
type meeting struct {
	session *Session
	wire    *end      // the session's side
	far     *tls.Conn // the end that stays crypto/tls's
}

// meet does a handshake. The session continues for the server, or for the client.
func meet(t interface{ Fatal(...any) }, asServer bool) *meeting {
	near, far := pipe()
	var k KeyLog
	serverConfig := &tls.Config{
		Certificates: []tls.Certificate{testenv.Certificate()}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	}
	clientConfig := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	var taken, stays *tls.Conn
	if asServer {
		serverConfig.KeyLogWriter = &k
		taken, stays = tls.Server(near, serverConfig), tls.Client(far, clientConfig)
	} else {
		clientConfig.KeyLogWriter = &k
		taken, stays = tls.Client(near, clientConfig), tls.Server(far, serverConfig)
	}
	var farErr error
	var wg sync.WaitGroup
	wg.Go(func() { farErr = stays.Handshake() })
	err := taken.Handshake()
	if wg.Wait(); err != nil || farErr != nil {
		t.Fatal(err, farErr)
	}
	s, err := k.Session(taken.ConnectionState())
	if err != nil {
		t.Fatal(err)
	}
	if !asServer {
		s.in, s.out = s.out, s.in
	}
	near.in.dryUp()
	far.in.dryUp()
	return &meeting{s, near, stays}
}

// sends has the session send content in records of at most size bytes.
func (m *meeting) sends(t *rapid.T, content []byte, size int) {
	for part := range slices.Chunk(content, size) {
		b, err := begun(m.session, part)
		if err != nil {
			t.Fatal(err)
		}
		m.wire.Write(b)
	}
	got := make([]byte, len(content))
	if _, err := io.ReadFull(m.far, got); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("crypto/tls does not read the %d bytes: %v", len(content), err)
	}
}

// hears has crypto/tls send content, and the session open it in pieces.
func (m *meeting) hears(t *rapid.T, content []byte, piece func() int) {
	if _, err := m.far.Write(content); err != nil {
		t.Fatal(err)
	}
	got, err := m.drain(piece)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes of crypto/tls came as %d others, %v", len(content), len(got), err)
	}
}

// drain has the session open what has arrived.
func (m *meeting) drain(piece func() int) (got []byte, err error) {
	var rest, data []byte
	for wire := m.wire.take(); len(wire) > 0; {
		n := min(piece(), len(wire))
		if data, rest, err = m.session.Open(slices.Concat(rest, wire[:n])); err != nil {
			return append(got, data...), err
		}
		got, wire = append(got, data...), wire[n:]
	}
	return got, nil
}

// asks sends a key update that asks for one, which a session by itself does not.
func (m *meeting) asks() {
	m.wire.Write(m.session.seal(nil, typeHandshake, []byte{typeKeyUpdate, 0, 0, 1, updateRequested}))
	m.session.out.update()
}

// Whatever is written either way, in between key updates of both sides, arrives;
// and so does the end.
func TestAgainstCryptoTLS(t *testing.T) {
	for _, s := range suites {
		for name, asServer := range map[string]bool{"client": true, "server": false} {
			t.Run(s.name+" against its "+name, func(t *testing.T) {
				only(t, s.id)
				rapid.Check(t, func(t *rapid.T) {
					m := meet(t, asServer)
					if got := m.far.ConnectionState().CipherSuite; got != s.id {
						t.Fatalf("the suite is %#x", got)
					}
					converse(t, m)
				})
			})
		}
	}
}

func converse(t *rapid.T, m *meeting) {
	lengths := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 50_000))
	piece := func() int { return rapid.OneOf(rapid.IntRange(1, 50), rapid.IntRange(1, 50_000)).Draw(t, "piece") }
	for range rapid.IntRange(0, 30).Draw(t, "steps") {
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0:
			m.session.mustUpdate = true
			m.sends(t, []byte("with new keys"), MaxPlaintext)
		case 1:
			m.asks()
			m.sends(t, []byte("with new keys"), MaxPlaintext) // crypto/tls reads, and answers
			m.hears(t, []byte("with new keys too"), piece)
		case 2, 3:
			m.sends(t, text(lengths.Draw(t, "length")), rapid.IntRange(100, MaxPlaintext).Draw(t, "record"))
		default:
			m.hears(t, text(lengths.Draw(t, "length")), piece)
		}
	}
	if err := m.far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := m.drain(piece); len(got) > 0 || err != io.EOF {
		t.Fatalf("after crypto/tls's close_notify: %q, %v; want io.EOF", got, err)
	}
	m.sends(t, []byte("still"), MaxPlaintext)
	m.wire.Write(m.session.AppendAlert(nil, CloseNotify))
	if n, err := m.far.Read(make([]byte, 10)); n > 0 || err != io.EOF {
		t.Fatalf("crypto/tls reads %d bytes, %v; want io.EOF", n, err)
	}
}

// Each side receives the other's alert.
func TestAlertsWithCryptoTLS(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		m := meet(t, true)
		m.wire.Write(m.session.AppendAlert(nil, BadRecordMAC))
		if _, err := m.far.Read(make([]byte, 10)); err == nil || err.Error() != "remote error: tls: bad record MAC" {
			t.Errorf("crypto/tls reads %v", err)
		}
	})
	t.Run("its", func(t *testing.T) {
		m := meet(t, true)
		m.wire.Write([]byte("\x17\x03\x03\x00\x20this was sealed by somebody else"))
		if _, err := m.far.Read(make([]byte, 10)); err == nil {
			t.Error("crypto/tls takes a forged record")
		}
		if got, err := m.drain(func() int { return 1 }); len(got) > 0 || err != PeerAlert(BadRecordMAC) {
			t.Errorf("Open = %q, %v; want PeerAlert(BadRecordMAC)", got, err)
		}
	})
}

// An end is one end of a connection in memory. Writes never wait; reads wait
// while there is a handshake, and fail after it.
type end struct{ in, out *stream }

func pipe() (near, far *end) {
	there, back := newStream(), newStream()
	return &end{back, there}, &end{there, back}
}

func (e *end) Read(b []byte) (int, error)       { return e.in.read(b) }
func (e *end) Write(b []byte) (int, error)      { e.out.write(b); return len(b), nil }
func (e *end) Close() error                     { return nil }
func (e *end) LocalAddr() net.Addr              { return nil }
func (e *end) RemoteAddr() net.Addr             { return nil }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }

// take returns what has arrived, without waiting.
func (e *end) take() []byte {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.bytes.Next(e.in.bytes.Len())
}

// A stream is the bytes on their way in one direction.
type stream struct {
	mu    sync.Mutex
	more  *sync.Cond
	bytes bytes.Buffer
	dry   bool
}

func newStream() *stream {
	s := new(stream)
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *stream) write(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Write(b)
	s.more.Broadcast()
}

var errDry = errors.New("nothing has arrived")

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes.Len() == 0 {
		if s.dry {
			return 0, errDry
		}
		s.more.Wait()
	}
	return s.bytes.Read(b)
}

// dryUp ends the waiting.
func (s *stream) dryUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dry = true
}
