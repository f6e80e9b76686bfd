// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"slices"
	"testing"
)

// keyUpdate returns the client's key update, after which it has new keys.
func (e *ends) keyUpdate(request byte) []byte {
	record := e.client.seal(22, []byte{24, 0, 0, 1, request}, 0)
	e.client.update()
	return record
}

// The client's keys change as often as it likes; ours change when it asks, ahead
// of the next data, once.
func TestKeyUpdate(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		for range 3 {
			e.hears(t, slices.Concat(e.data("old,"), e.keyUpdate(updateNotRequested), e.data("new")), "old,new", nil)
			e.reads(t, e.seals(t, "as before"), 23, "as before")

			e.hears(t, slices.Concat(e.keyUpdate(updateRequested), e.keyUpdate(updateRequested), e.data("newer")), "newer", nil)
			records := splitRecords(e.seals(t, "answer"))
			if len(records) != 2 {
				t.Fatalf("%d records, want a key update and the answer", len(records))
			}
			e.reads(t, records[0], 22, "\x18\x00\x00\x01\x00")
			e.server.update()
			e.reads(t, records[1], 23, "answer")
			e.reads(t, e.seals(t, "more"), 23, "more")
		}
	})
}

// Old keys open nothing after the update.
func TestKeyUpdateRetiresTheOldKeys(t *testing.T) {
	e := newEnds(0)
	old := *e.client
	e.hears(t, e.keyUpdate(updateNotRequested), "", nil)
	old.seq++
	e.hears(t, old.seal(23, []byte("old"), 0), "", BadRecordMAC)
}

// An alert needs no new keys ahead of it.
func TestAlertWhileUpdateIsOwed(t *testing.T) {
	e := newEnds(0)
	e.hears(t, e.keyUpdate(updateRequested), "", nil)
	e.reads(t, e.AppendAlert(nil, CloseNotify), 21, "\x01\x00")
}

// A key update may come in several records, with nothing in between.
func TestKeyUpdateInParts(t *testing.T) {
	message := []byte{24, 0, 0, 1, 0}
	for cut := 1; cut < len(message); cut++ {
		e := newEnds(0)
		first, second := e.client.seal(22, message[:cut], 0), e.client.seal(22, message[cut:], 0)
		e.client.update()
		e.hears(t, slices.Concat(first, second, e.data("new")), "new", nil)

		for name, record := range map[string]func(e *ends) []byte{
			"data":            func(e *ends) []byte { return e.data("data") },
			"no data":         func(e *ends) []byte { return e.data("") },
			"close_notify":    func(e *ends) []byte { return e.client.seal(21, []byte{1, 0}, 0) },
			"user_canceled":   func(e *ends) []byte { return e.client.seal(21, []byte{1, 90}, 0) },
			"empty handshake": func(e *ends) []byte { return e.client.seal(22, nil, 0) },
			"too much":        func(e *ends) []byte { return e.client.seal(22, append(message[cut:len(message):len(message)], 0), 0) },
		} {
			t.Run(name, func(t *testing.T) {
				e := newEnds(0)
				e.hears(t, e.client.seal(22, message[:cut], 0), "", nil)
				e.hears(t, record(e), "", UnexpectedMessage)
				e.ended(t, UnexpectedMessage)
			})
		}
	}
}

// A key update whose length is wrong is refused as soon as that is known, though it
// comes in parts and the rest has not come.
func TestKeyUpdateOfWrongLengthInParts(t *testing.T) {
	for _, message := range []string{"\x18\x00\x00\x00", "\x18\x00\x00\x02", "\x18\x00\x01", "\x18\x01", "\x18\xff"} {
		for cut := 1; cut < len(message); cut++ {
			e := newEnds(0)
			e.hears(t, e.client.seal(22, []byte(message[:cut]), 0), "", nil)
			e.hears(t, e.client.seal(22, []byte(message[cut:]), 0), "", DecodeError)
			e.ended(t, DecodeError)
		}
	}
}

// A key that has sealed what it may is followed by the next, unasked.
func TestRekey(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		e.out.seq, e.server.seq = rekeyAfter-1, rekeyAfter-1
		e.reads(t, e.seals(t, "last"), 23, "last")
		records := splitRecords(e.seals(t, "first"))
		if len(records) != 2 {
			t.Fatalf("%d records, want a key update and the data", len(records))
		}
		e.reads(t, records[0], 22, "\x18\x00\x00\x01\x00")
		e.server.update()
		e.reads(t, records[1], 23, "first")
		if e.out.seq != 1 {
			t.Errorf("the new key's next number is %d, want 1", e.out.seq)
		}
	})
}

// An update changes secret, key and IV of one direction, and leaves nothing of
// the old ones.
func TestKeyUpdateForgets(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		e.hears(t, e.data("data"), "data", nil)
		before, out := e.in, e.out
		e.hears(t, e.keyUpdate(updateNotRequested), "", nil)
		if bytes.Equal(e.in.secret[:16], before.secret[:16]) || bytes.Equal(e.in.key[:16], before.key[:16]) || e.in.iv == before.iv {
			t.Error("secret, key or IV is the old one")
		}
		if e.in.seq != 0 || e.in.aead != nil {
			t.Error("the number or the expanded key is the old one's")
		}
		if e.out != out {
			t.Error("the other direction has changed")
		}
		for name, secret := range secretsOf(&before) {
			if bytes.Contains(memory(e.Session), secret) {
				t.Errorf("the old %s is still there", name)
			}
		}
	})
}
