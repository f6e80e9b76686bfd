// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/gatecast/gatecast/internal/tlsrecord"
)

// openRecords hands the connection of a raw client to a new loop. Its stream is a
// recordStream.
func openRecords(t *testing.T) (*rig, *rawTLSClient, *peer) {
	t.Helper()
	h, c := dialRawTLS(t)
	if c.records == nil {
		t.Fatal("the records are not taken over")
	}
	r := newRig(t)
	return r, h, r.open(c, h)
}

// A peer can request a key update while more is queued than the socket takes: what is
// sealed stays as it is, and what follows is sealed with the new key.
func TestKeyUpdateInABurst(t *testing.T) {
	r, h, p := openRecords(t)
	want := pattern(16 << 20)
	var unsent int
	r.do(func() {
		p.sink.send(want)
		unsent = p.stream.Unsent()
	})
	if unsent == 0 {
		t.Fatal("the socket took everything; the test shows nothing")
	}
	h.Write(slices.Concat(h.KeyUpdate(1), h.Seal(23, []byte("new ")), h.KeyUpdate(0), h.Seal(23, []byte("newer"))))
	p.sink.await(func() bool { return p.sink.got.String() == "new newer" })
	var got []byte
	updates := 0
	for len(got) < len(want) {
		contentType, content := h.receive(t)
		switch contentType {
		case 23:
			got = append(got, content...)
		case 22:
			updates++
			if len(got) == 0 || len(got) == len(want) {
				t.Errorf("the keys change after %d bytes, which is not in the burst", len(got))
			}
		}
	}
	if updates != 1 || !bytes.Equal(got, want) {
		t.Errorf("%d key updates, want 1, or what arrived is not what was sent", updates)
	}
}

// ReadCost counts the work that a peer causes, also where no data is read.
func TestReadCost(t *testing.T) {
	_, h, p := openRecords(t)
	sent := slices.Concat(h.Seal(23, []byte("data")), h.KeyUpdate(0), h.Seal(23, nil), h.KeyUpdate(0), h.Seal(23, []byte("."))[:10])
	h.Write(sent)
	p.sink.await(func() bool { return p.sink.readCost == len(sent)+2*updateCost })
}

// A record that was altered is answered with an alert. Nothing of it, or after it, is
// returned.
func TestForgeryIsAnswered(t *testing.T) {
	_, h, p := openRecords(t)
	forged := h.Seal(23, []byte("forged"))
	forged[7] ^= 1
	h.Write(slices.Concat(forged, h.Seal(23, []byte("after it"))))
	if contentType, content := h.receive(t); contentType != 21 || !bytes.Equal(content, []byte{2, 20}) {
		t.Errorf("received %d %x, want the fatal alert bad_record_mac", contentType, content)
	}
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); !errors.Is(err, tlsrecord.BadRecordMAC) || len(got) > 0 {
		t.Errorf("received %q, %v", got, err)
	}
}

// Whole records before a broken one are returned.
func TestDataAheadOfAnError(t *testing.T) {
	_, h, p := openRecords(t)
	h.Write(slices.Concat(h.Seal(23, []byte("good")), []byte{22, 3, 3, 0, 1, 0}))
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); !errors.Is(err, tlsrecord.UnexpectedMessage) || string(got) != "good" {
		t.Errorf("received %q, %v", got, err)
	}
}

func TestTruncation(t *testing.T) {
	for _, cut := range []int{1, 4, 5, 6, 20} {
		_, h, p := openRecords(t)
		h.Write(slices.Concat(h.Seal(23, []byte("whole")), h.Seal(23, []byte("cut off"))[:cut]))
		h.Close()
		p.sink.await(func() bool { return p.sink.err != nil })
		if got, err := p.sink.received(); err != io.ErrUnexpectedEOF || string(got) != "whole" {
			t.Errorf("cut after %d bytes: received %q, %v", cut, got, err)
		}
	}
}

// The beginning of a record is kept until its end arrives, and no longer.
func TestPartialRecordIsReleased(t *testing.T) {
	r, h, p := openRecords(t)
	kept := func() (n int) {
		r.do(func() { n = cap(p.stream.(*recordStream).partial) })
		return n
	}
	h.Write(h.Seal(23, nil)) // no data, and nothing kept
	record := h.Seal(23, pattern(1000))
	h.Write(record[:500])
	for kept() == 0 {
		r.do(func() {}) // the loop reads between two turns
	}
	h.Write(record[500:])
	p.sink.await(func() bool { return p.sink.got.Len() == 1000 })
	if n := kept(); n != 0 {
		t.Errorf("%d bytes are kept between records", n)
	}
}

// records returns a peer's stream, for use on its loop.
func (p *peer) records() *recordStream { return p.stream.(*recordStream) }

// until runs cond on the loop until it is true.
func (r *rig) until(cond func() bool) {
	for done := false; !done; runtime.Gosched() {
		r.do(func() { done = cond() })
	}
}

// A stream that ends between two records without close_notify is at its end, as it is
// to crypto/tls. WebSocket's close frame shows whether it was truncated.
func TestEndBetweenRecords(t *testing.T) {
	_, h, p := openRecords(t)
	h.Write(h.Seal(23, []byte("whole")))
	h.Close()
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); string(got) != "whole" || err != io.EOF {
		t.Errorf("received %q, %v; want whole and io.EOF", got, err)
	}
}

// crypto/tls understands the alert that answers a forged record.
func TestForgeryAlertReachesCryptoTLS(t *testing.T) {
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

// A peer's alert is the read error, and is not answered.
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

// Between two records a stream keeps no bytes, wherever the last record was cut, and no
// expanded key.
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
	r.do(func() { // proves that the test can see an expanded key
		p.records().session.Open(h.Seal(23, []byte("data")))
		if !expanded(p.records().session) {
			t.Error("opening a record expands no key; the test shows nothing")
		}
	})
}

// expanded reports whether the key that opens records is expanded.
func expanded(s *tlsrecord.Session) bool {
	return !reflect.ValueOf(s).Elem().FieldByName("in").FieldByName("aead").IsNil()
}

// Close wipes the keys of a stream.
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
