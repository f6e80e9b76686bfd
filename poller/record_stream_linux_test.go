// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/gatecast/gatecast/internal/tlsrecord"
)

// taken returns a stream whose records were taken over, and a handmade far end.
func taken(t *testing.T) (*rig, *handmade, *peer) {
	t.Helper()
	h, c := handmake(t)
	if c.records == nil {
		t.Fatal("the records are not taken over")
	}
	r := newRig(t)
	return r, h, r.open(c, h)
}

// A peer may ask for new keys while more is queued than the socket takes: what
// was sealed stays as it was sealed, and what follows is sealed anew.
func TestKeyUpdateInABurst(t *testing.T) {
	r, h, p := taken(t)
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

// What a peer makes this side do is told, also where it is not data.
func TestTaken(t *testing.T) {
	_, h, p := taken(t)
	sent := slices.Concat(h.Seal(23, []byte("data")), h.KeyUpdate(0), h.Seal(23, nil), h.KeyUpdate(0), h.Seal(23, []byte("."))[:10])
	h.Write(sent)
	p.sink.await(func() bool { return p.sink.took == len(sent)+2*updateCost })
}

// A record altered on the way is answered with an alert; nothing of it, nor of
// what follows, is handed up.
func TestForgeryIsAnswered(t *testing.T) {
	_, h, p := taken(t)
	forged := h.Seal(23, []byte("forged"))
	forged[7] ^= 1
	h.Write(slices.Concat(forged, h.Seal(23, []byte("behind it"))))
	if contentType, content := h.receive(t); contentType != 21 || !bytes.Equal(content, []byte{2, 20}) {
		t.Errorf("received %d %x, want the fatal alert bad_record_mac", contentType, content)
	}
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); !errors.Is(err, tlsrecord.BadRecordMAC) || len(got) > 0 {
		t.Errorf("received %q, %v", got, err)
	}
}

// What came whole ahead of a broken record is handed up.
func TestDataAheadOfAnError(t *testing.T) {
	_, h, p := taken(t)
	h.Write(slices.Concat(h.Seal(23, []byte("good")), []byte{22, 3, 3, 0, 1, 0}))
	p.sink.await(func() bool { return p.sink.err != nil })
	if got, err := p.sink.received(); !errors.Is(err, tlsrecord.UnexpectedMessage) || string(got) != "good" {
		t.Errorf("received %q, %v", got, err)
	}
}

func TestTruncation(t *testing.T) {
	for _, cut := range []int{1, 4, 5, 6, 20} {
		_, h, p := taken(t)
		h.Write(slices.Concat(h.Seal(23, []byte("whole")), h.Seal(23, []byte("cut off"))[:cut]))
		h.Close()
		p.sink.await(func() bool { return p.sink.err != nil })
		if got, err := p.sink.received(); err != io.ErrUnexpectedEOF || string(got) != "whole" {
			t.Errorf("cut after %d bytes: received %q, %v", cut, got, err)
		}
	}
}

// The beginning of a record is kept until its end comes, and no longer.
func TestPartialRecordIsLetGo(t *testing.T) {
	r, h, p := taken(t)
	kept := func() (n int) {
		r.do(func() { n = cap(p.stream.(*recordStream).partial) })
		return n
	}
	h.Write(h.Seal(23, nil)) // nothing to see, and nothing kept
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
