// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/test/testenv"

	"pgregory.net/rapid"
)

func TestOpenEveryLength(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		plain := text(MaxPlaintext)
		for n := range MaxPlaintext + 1 {
			data, rest, err := e.Open(e.client.seal(23, plain[:n], 0))
			if !bytes.Equal(data, plain[:n]) || len(rest) > 0 || err != nil {
				t.Fatalf("%d bytes sealed open as %d, %d bytes rest, %v", n, len(data), len(rest), err)
			}
		}
	})
}

// Padding of any length is allowed (section 5.4), and nothing of it is data.
func TestOpenPadding(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		const content = "content that ends in zeros\x00\x00"
		for padding := 0; padding <= MaxPlaintext-len(content); padding += 1 + padding/50 {
			e.hears(t, e.client.seal(23, []byte(content), padding), content, nil)
		}
		e.hears(t, e.client.seal(23, []byte(content), MaxPlaintext-len(content)), content, nil)
	})
}

func TestOpenNumbers(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		for _, n := range numbers {
			e.in.seq, e.client.seq = n, n
			e.hears(t, e.data("plain"), "plain", nil)
		}
		e.in.seq, e.client.seq = math.MaxUint64, math.MaxUint64
		e.hears(t, e.data("one too many"), "", UnexpectedMessage)
	})
}

// What a session must say to one record.
func TestOpenRecords(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	cases := []struct {
		name    string
		inner   string // content, type and padding
		data    string
		err     error
		goingOn bool // err is nil, and the next record is heard
	}{
		{"data", "data\x17", "data", nil, true},
		{"data with padding", "data\x17" + zeros(100), "data", nil, true},
		{"the longest", strings.Repeat("x", MaxPlaintext) + "\x17", strings.Repeat("x", MaxPlaintext), nil, true},
		{"the longest padding", "\x17" + zeros(MaxPlaintext), "", nil, true},
		{"a byte too long", strings.Repeat("x", MaxPlaintext+1) + "\x17", "", RecordOverflow, false},
		{"a byte of padding too long", "\x17" + zeros(MaxPlaintext+1), "", RecordOverflow, false},
		{"the longest that is taken for a record", zeros(MaxPlaintext + 240), "", RecordOverflow, false},
		{"no data", "\x17", "", nil, true},
		{"padding alone", zeros(100), "", UnexpectedMessage, false},
		{"one byte of padding alone", zeros(1), "", UnexpectedMessage, false},
		{"type 1", "data\x01", "", UnexpectedMessage, false},
		{"type 24, heartbeat", "data\x18", "", UnexpectedMessage, false},
		{"type 255", "data\xff", "", UnexpectedMessage, false},
		{"change_cipher_spec", "\x01\x14", "", UnexpectedMessage, false},
		{"empty handshake", "\x16", "", UnexpectedMessage, false},
		{"ClientHello", "\x01\x00\x00\x00\x16", "", UnexpectedMessage, false},
		{"NewSessionTicket", "\x04\x00\x00\x00\x16", "", UnexpectedMessage, false},
		{"EndOfEarlyData", "\x05\x00\x00\x00\x16", "", UnexpectedMessage, false},
		{"Certificate", "\x0b\x00\x00\x00\x16", "", UnexpectedMessage, false},
		{"Finished", "\x14\x00\x00\x00\x16", "", UnexpectedMessage, false},
		{"KeyUpdate with nothing", "\x18\x00\x00\x00\x00\x16", "", DecodeError, false},
		{"KeyUpdate with nothing, and no more", "\x18\x00\x00\x00\x16", "", DecodeError, false},
		{"KeyUpdate of two bytes, of which none has come", "\x18\x00\x00\x02\x16", "", DecodeError, false},
		{"KeyUpdate of two bytes, of which one has come", "\x18\x00\x00\x02\x00\x16", "", DecodeError, false},
		{"KeyUpdate of 16 MiB, by its first byte", "\x18\xff\x16", "", DecodeError, false},
		{"KeyUpdate of 256 bytes, by its second byte", "\x18\x00\x01\x16", "", DecodeError, false},
		{"KeyUpdate of two bytes", "\x18\x00\x00\x02\x00\x00\x16", "", DecodeError, false},
		{"KeyUpdate of 64 KiB", "\x18\x01\x00\x01\x00\x16", "", DecodeError, false},
		{"KeyUpdate of 256 bytes", "\x18\x00\x01\x01\x00\x16", "", DecodeError, false},
		{"KeyUpdate 2", "\x18\x00\x00\x01\x02\x16", "", IllegalParameter, false},
		{"KeyUpdate 255", "\x18\x00\x00\x01\xff\x16", "", IllegalParameter, false},
		{"KeyUpdate and a byte", "\x18\x00\x00\x01\x00\x18\x16", "", UnexpectedMessage, false},
		{"two KeyUpdates", "\x18\x00\x00\x01\x00\x18\x00\x00\x01\x00\x16", "", UnexpectedMessage, false},
		{"close_notify", "\x01\x00\x15", "", io.EOF, false},
		{"close_notify that calls itself fatal", "\x02\x00\x15", "", io.EOF, false},
		{"user_canceled", "\x01\x5a\x15", "", nil, true},
		{"a fatal alert", "\x02\x14\x15", "", PeerAlert(BadRecordMAC), false},
		{"a fatal alert that calls itself a warning", "\x01\x28\x15", "", PeerAlert(40), false},
		{"an empty alert", "\x15", "", UnexpectedMessage, false},
		{"an empty alert with padding", "\x15" + zeros(100), "", UnexpectedMessage, false},
		{"empty handshake with padding", "\x16" + zeros(100), "", UnexpectedMessage, false},
		{"half an alert", "\x02\x15", "", DecodeError, false},
		{"an alert and a byte", "\x01\x00\x00\x15", "", DecodeError, false},
		{"two alerts", "\x01\x5a\x01\x00\x15", "", DecodeError, false},
	}
	for i, s := range suites {
		for _, tc := range cases {
			t.Run(s.name+" "+tc.name, func(t *testing.T) {
				e := newEnds(i)
				wire := slices.Concat(e.data("before,"), e.client.sealInner([]byte(tc.inner)), e.data("after"))
				want := "before," + tc.data
				if tc.goingOn {
					want += "after"
				}
				e.hears(t, wire, want, tc.err)
				if !tc.goingOn {
					e.ended(t, tc.err)
				}
			})
		}
	}
}

// ended makes sure that a session that has ended with err opens nothing more,
// and seals what it may: after an orderly end everything, after an error of the
// peer's the alert alone.
func (e *ends) ended(t *testing.T, err error) {
	t.Helper()
	for range 2 {
		e.hears(t, e.data("late"), "", err)
	}
	if e.Err() != err {
		t.Errorf("Err = %v, want %v", e.Err(), err)
	}
	if e.in != (half{}) {
		t.Error("the keys that open are still there")
	}
	switch err := err.(type) {
	case PeerAlert:
		e.sealsNothing(t)
	case Alert:
		if b, err := begun(e.Session, []byte("late")); err != ErrClosed || len(b) > 0 {
			t.Errorf("Begin = %x, %v; want nothing, ErrClosed", b, err)
		}
		e.reads(t, e.AppendAlert(nil, err), 21, "\x02"+string(rune(err)))
		e.sealsNothing(t)
	default:
		e.reads(t, e.seals(t, "last data"), 23, "last data")
		e.reads(t, e.AppendAlert(nil, CloseNotify), 21, "\x01\x00")
		e.sealsNothing(t)
	}
	if e.out != (half{}) {
		t.Error("the keys that seal are still there")
	}
}

// What is wrong with a record is known from its header, before the rest of it
// has come.
func TestOpenHeaders(t *testing.T) {
	cases := []struct {
		name, wire string
		err        error
	}{
		{"change_cipher_spec", "\x14\x03\x03\x00\x01\x01", UnexpectedMessage},
		{"an alert in the clear", "\x15\x03\x03\x00\x02\x01\x00", UnexpectedMessage},
		{"a handshake message in the clear", "\x16\x03\x03\x00\x05\x18\x00\x00\x01\x00", UnexpectedMessage},
		{"no type at all", "\x00\x03\x03\x00\x20", UnexpectedMessage},
		{"HTTP", "GET / HTTP/1.1\r\n", UnexpectedMessage},
		{"empty", "\x17\x03\x03\x00\x00", BadRecordMAC},
		{"shorter than a tag", "\x17\x03\x03\x00\x0f", BadRecordMAC},
		{"a tag and no type", "\x17\x03\x03\x00\x10", BadRecordMAC},
		{"a byte too long", "\x17\x03\x03\x41\x01", RecordOverflow},
		{"as long as can be", "\x17\x03\x03\xff\xff", RecordOverflow},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			e := newEnds(0)
			e.hears(t, slices.Concat(e.data("before"), []byte(tc.wire)), "before", tc.err)
			e.ended(t, tc.err)
		})
	}
}

// The longest record that the header may announce is waited for.
func TestOpenWaits(t *testing.T) {
	e := newEnds(0)
	wire := append([]byte{23, 3, 3, 0x41, 0x00}, make([]byte, maxFragment-1)...)
	if data, rest, err := e.Open(wire); len(data) > 0 || len(rest) != len(wire) || err != nil {
		t.Fatalf("Open = %q, %d bytes rest, %v; want all of it to rest", data, len(rest), err)
	}
	e.hears(t, append(wire, 0), "", BadRecordMAC)
}

// A bit that changes on the way ends the session, whichever it is. Nothing of the
// record is data, and nothing after it.
func TestOpenForgery(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		first, second, third := e.data("first"), e.data("second"), e.data("third")
		after := append(third, make([]byte, maxFragment)...) // so that no length waits for more
		fresh := *e.Session
		for bit := range 8 * len(second) {
			*e.Session, e.server.seq = fresh, 0
			forged := bytes.Clone(second)
			forged[bit/8] ^= 1 << (bit % 8)
			want := BadRecordMAC
			switch n := int(forged[3])<<8 | int(forged[4]); {
			case forged[0] != 23:
				want = UnexpectedMessage
			case n > maxFragment:
				want = RecordOverflow
			}
			e.hears(t, slices.Concat(first, forged, after), "first", want)
			e.ended(t, want)
		}
	})
}

// Neither a record that comes twice, nor one after a gap, nor one of the other
// direction is data.
func TestOpenReplay(t *testing.T) {
	cases := []struct {
		name string
		wire func(e *ends) []byte
		data string
	}{
		{"twice", func(e *ends) []byte { r := e.data("once"); return slices.Concat(r, r) }, "once"},
		{"after a gap", func(e *ends) []byte { e.data("lost"); return e.data("found") }, ""},
		{"mirrored", func(e *ends) []byte { b, _ := begun(e.Session, []byte("mine")); e.server.seq++; return b }, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			e := newEnds(0)
			e.hears(t, tc.wire(e), tc.data, BadRecordMAC)
			e.ended(t, BadRecordMAC)
		})
	}
}

// Whatever the pieces, the data is the same, and what rests is given back.
func TestOpenPieces(t *testing.T) {
	fresh := func() (*ends, []byte) {
		e := newEnds(0)
		return e, slices.Concat(e.data("one "), e.client.seal(23, nil, 3), e.data("two "), e.keyUpdate(0), e.data("three"))
	}
	_, wire := fresh()
	for cut := range len(wire) + 1 {
		e, wire := fresh()
		if got, err := e.hearsPieces(wire[:cut], wire[cut:]); got != "one two three" || err != nil {
			t.Fatalf("cut at %d: %q, %v", cut, got, err)
		}
	}
	e, wire := fresh()
	if got, err := e.hearsPieces(slices.Collect(slices.Chunk(wire, 1))...); got != "one two three" || err != nil {
		t.Fatalf("byte by byte: %q, %v", got, err)
	}
}

// hearsPieces has pieces opened as they arrive, as a caller does.
func (e *ends) hearsPieces(pieces ...[]byte) (got string, err error) {
	var rest []byte
	for _, p := range pieces {
		var data []byte
		data, rest, err = e.Open(slices.Concat(rest, p))
		if got += string(data); err != nil {
			return got, err
		}
	}
	return got, nil
}

func TestOpenRandomPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := newEnds(rapid.IntRange(0, len(suites)-1).Draw(t, "suite"))
		var wire, want []byte
		for range rapid.IntRange(0, maxEmptyRecords).Draw(t, "records") {
			content := text(rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, MaxPlaintext)).Draw(t, "length"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				wire = append(wire, e.keyUpdate(rapid.ByteRange(0, 1).Draw(t, "requested"))...)
			case 1:
				wire = append(wire, e.client.seal(23, nil, len(content))...)
			case 2:
				wire = append(wire, e.client.seal(21, []byte{1, byte(UserCanceled)}, 0)...)
			default:
				wire = append(wire, e.client.seal(23, content, rapid.IntRange(0, MaxPlaintext-len(content)).Draw(t, "padding"))...)
				want = append(want, content...)
			}
		}
		var pieces [][]byte
		for len(wire) > 0 {
			n := rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(1, 40_000)).Draw(t, "piece")
			n = min(n, len(wire))
			pieces, wire = append(pieces, wire[:n]), wire[n:]
		}
		if got, err := e.hearsPieces(pieces...); got != string(want) || err != nil {
			t.Fatalf("%d bytes came as %d others, %v", len(want), len(got), err)
		}
	})
}

// Sixteen records in a row may carry no data; then the peer is cut off, and with
// data in between it is not.
func TestUselessRecords(t *testing.T) {
	for name, record := range map[string]func(e *ends) []byte{
		"empty":         func(e *ends) []byte { return e.client.seal(23, nil, 10) },
		"KeyUpdate":     func(e *ends) []byte { return e.keyUpdate(updateRequested) },
		"user_canceled": func(e *ends) []byte { return e.client.seal(21, []byte{1, 90}, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnds(0)
			for range 3 {
				for range maxEmptyRecords {
					e.hears(t, record(e), "", nil)
				}
				e.hears(t, e.data("use"), "use", nil)
			}
			for range maxEmptyRecords {
				e.hears(t, record(e), "", nil)
			}
			e.hears(t, record(e), "", UnexpectedMessage)
			e.ended(t, UnexpectedMessage)
		})
	}
}

// A key that was let go is made again, and goes on with the same number.
func TestRelease(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		for range 3 {
			e.hears(t, e.data("data"), "data", nil)
			if e.in.aead == nil {
				t.Fatal("there is no key to let go; the test shows nothing")
			}
			e.ReleaseReadKey()
			if e.in.aead != nil {
				t.Fatal("the key is still there")
			}
		}
	})
}

func TestOpenAllocatesNothing(t *testing.T) {
	if testenv.Race {
		t.Skip("allocations cannot be counted under the race detector")
	}
	eachSuite(t, func(t *testing.T, e *ends) {
		const runs = 200
		var records [][]byte
		for range runs + 2 {
			records = append(records, e.client.seal(23, text(1000), 0))
		}
		open := func() {
			if data, _, err := e.Open(records[0]); len(data) != 1000 || err != nil {
				t.Errorf("Open = %d bytes, %v", len(data), err)
			}
			records = records[1:]
		}
		open() // expands the key
		if allocs := testing.AllocsPerRun(runs, open); allocs > 0 {
			t.Errorf("opening a record allocates %v times", allocs)
		}
	})
}
