// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"io"
	"reflect"
	"runtime"
	"testing"

	"github.com/gatecast/gatecast/internal/tlsrecord"
)

// records returns a peer's stream, for use on its loop.
func (p *peer) records() *recordStream { return p.stream.(*recordStream) }

// until runs cond on the loop until it is true.
func (r *rig) until(cond func() bool) {
	for done := false; !done; runtime.Gosched() {
		r.do(func() { done = cond() })
	}
}

// openRecords hands a handmade client's connection to a new loop.
func openRecords(t *testing.T) (*rig, *handmade, *peer) {
	t.Helper()
	h, c := handmake(t)
	r := newRig(t)
	return r, h, r.open(c, h)
}

// A stream that ends between two records without a close_notify is at its end, as
// it is to crypto/tls; WebSocket's close frame tells whether it was cut off.
func TestEndBetweenRecords(t *testing.T) {
	_, h, p := openRecords(t)
	h.Write(h.Seal(23, []byte("whole")))
	h.Close()
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); string(got) != "whole" || err != io.EOF {
		t.Errorf("received %q, %v; want whole and io.EOF", got, err)
	}
}

// crypto/tls understands why its forged record was refused.
func TestForgeryIsToldToCryptoTLS(t *testing.T) {
	p := newRig(t).connect(ownRecords)
	p.Conn.(*tls.Conn).NetConn().Write([]byte("\x17\x03\x03\x00\x11seventeen bytes.."))
	if _, err := p.Read(make([]byte, 1)); err == nil || err.Error() != "remote error: tls: bad record MAC" {
		t.Errorf("the client reads %v", err)
	}
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); len(got) > 0 || err != tlsrecord.BadRecordMAC {
		t.Errorf("received %q, %v", got, err)
	}
}

// A peer's alert is its reason, and is not answered.
func TestPeerAlert(t *testing.T) {
	_, h, p := openRecords(t)
	h.Write(h.Seal(21, []byte{2, 80}))
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); len(got) > 0 || err != tlsrecord.PeerAlert(tlsrecord.InternalError) {
		t.Errorf("received %q, %v", got, err)
	}
	if rest, err := io.ReadAll(h); len(rest) > 0 || err != nil {
		t.Errorf("the peer is answered %x, %v", rest, err)
	}
}

// Between two records a stream keeps nothing that it has read, wherever the last
// was cut, and keys not in their expanded form.
func TestIdleRecordStreamKeepsNothing(t *testing.T) {
	r, h, p := openRecords(t)
	for _, cut := range []int{3, 5, 4000, 9000} {
		record := h.Seal(23, pattern(9000))
		h.Write(record[:cut])
		r.until(func() bool { return len(p.records().partial) == cut })
		h.Write(record[cut:])
		r.until(func() bool { return p.records().partial == nil })
		r.do(func() {
			if expanded(p.records().session) {
				t.Error("the expanded key is kept")
			}
		})
	}
	if got, err := p.sink.received(); len(got) != 4*9000 || err != nil {
		t.Errorf("%d bytes received, %v", len(got), err)
	}
	r.do(func() { // the test can see a key
		p.records().session.Open(h.Seal(23, []byte("data")))
		if !expanded(p.records().session) {
			t.Error("opening a record expands no key; the test shows nothing")
		}
	})
}

// expanded reports whether a session has the key that opens records expanded.
func expanded(s *tlsrecord.Session) bool {
	return !reflect.ValueOf(s).Elem().FieldByName("in").FieldByName("aead").IsNil()
}

// Closing a stream forgets its secrets.
func TestCloseWipes(t *testing.T) {
	r, _, p := openRecords(t)
	s := p.records().session
	r.do(p.stream.Close)
	for _, half := range []string{"in", "out"} {
		if !reflect.ValueOf(s).Elem().FieldByName(half).IsZero() {
			t.Errorf("the keys of %q are still there", half)
		}
	}
}
