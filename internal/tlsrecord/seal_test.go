// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"math"
	"testing"

	"github.com/gatecast/gatecast/test/testenv"
)

// text returns n bytes in which a misplaced piece shows.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

func TestSealEveryLength(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		plain := text(MaxPlaintext)
		var buf []byte
		for n := range MaxPlaintext + 1 {
			dst, start, err := e.BeginRecord(buf[:0])
			if err != nil {
				t.Fatal(err)
			}
			buf = e.EndRecord(append(dst, plain[:n]...), start)
			if len(buf) != n+Overhead {
				t.Fatalf("%d bytes are sealed as %d, want %d more", n, len(buf), Overhead)
			}
			if contentType, content, ok := e.server.open(buf); !ok || contentType != 23 || !bytes.Equal(content, plain[:n]) {
				t.Fatalf("%d bytes sealed open as %d of type %d, %v", n, len(content), contentType, ok)
			}
		}
	})
}

// What is in dst stays, whether or not it has room for the record.
func TestSealAppends(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		for spare := range 3 * Overhead {
			dst := append(make([]byte, 0, len("ahead")+spare), "ahead"...)
			dst, start, err := e.BeginRecord(dst)
			if err != nil {
				t.Fatal(err)
			}
			dst = e.EndRecord(append(dst, "plain"...), start)
			if !bytes.HasPrefix(dst, []byte("ahead")) {
				t.Fatalf("with room for %d bytes %q stands ahead of the record", spare, dst[:5])
			}
			e.reads(t, dst[5:], 23, "plain")
		}
	})
}

// numbers are record numbers with bits in every byte.
var numbers = []uint64{0, 1, 255, 256, 1 << 16, 1 << 24, 1 << 32, 1<<40 + 7, 1 << 48, 1 << 56, 1 << 63, math.MaxUint64 - 1}

func TestSealNumbers(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		for _, n := range numbers {
			e.out.seq, e.server.seq = n, n
			e.reads(t, e.seal(nil, 23, []byte("plain")), 23, "plain")
		}
	})
}

// A number is not used twice, come what may.
func TestSealPastTheLastNumber(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		e.out.seq = math.MaxUint64
		defer func() {
			if recover() == nil {
				t.Error("a record is sealed with the last number, after which the first would be repeated")
			}
		}()
		e.seal(nil, 23, []byte("plain"))
	})
}

func TestAlerts(t *testing.T) {
	for _, tc := range []struct {
		alert Alert
		want  string // level and description, RFC 8446 section 6
		name  string
	}{
		{CloseNotify, "\x01\x00", "close_notify"},
		{UnexpectedMessage, "\x02\x0a", "unexpected_message"},
		{BadRecordMAC, "\x02\x14", "bad_record_mac"},
		{RecordOverflow, "\x02\x16", "record_overflow"},
		{IllegalParameter, "\x02\x2f", "illegal_parameter"},
		{DecodeError, "\x02\x32", "decode_error"},
		{InternalError, "\x02\x50", "internal_error"},
		{UserCanceled, "\x02\x5a", "user_canceled"},
		{Alert(112), "\x02\x70", "alert 112"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEnds(0)
			e.reads(t, e.seals(t, "before"), 23, "before")
			e.reads(t, e.AppendAlert(nil, tc.alert), 21, tc.want)
			if got := tc.alert.String(); got != tc.name {
				t.Errorf("its name is %q", got)
			}
			e.sealsNothing(t)
		})
	}
}

// sealsNothing makes sure that a session seals nothing any more.
func (e *ends) sealsNothing(t *testing.T) {
	t.Helper()
	if b, err := begun(e.Session, []byte("late")); err != ErrClosed || len(b) > 0 {
		t.Errorf("Begin = %x, %v; want nothing, ErrClosed", b, err)
	}
	if b := e.AppendAlert([]byte("ahead"), CloseNotify); string(b) != "ahead" {
		t.Errorf("another alert is appended: %x", b[5:])
	}
}

// After our close_notify the peer is still heard, its key updates too.
func TestCloseNotifyHalfCloses(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		e.reads(t, e.AppendAlert(nil, CloseNotify), 21, "\x01\x00")
		e.hears(t, e.data("still there"), "still there", nil)
		e.hears(t, e.keyUpdate(updateRequested), "", nil)
		e.hears(t, e.data("with other keys"), "with other keys", nil)
		e.sealsNothing(t)
	})
}

func TestZeroSession(t *testing.T) {
	e := &ends{Session: new(Session)}
	e.sealsNothing(t)
	e.hears(t, []byte("anything"), "", ErrClosed)
	e.ReleaseReadKey()
	e.Wipe()
}

func TestSealAllocatesNothing(t *testing.T) {
	if testenv.Race {
		t.Skip("allocations cannot be counted under the race detector")
	}
	eachSuite(t, func(t *testing.T, e *ends) {
		plain, buf := text(1000), make([]byte, 0, 1000+Overhead)
		allocs := testing.AllocsPerRun(200, func() {
			dst, start, err := e.BeginRecord(buf)
			if err != nil {
				t.Error(err)
			}
			e.EndRecord(append(dst, plain...), start)
		})
		if allocs > 0 {
			t.Errorf("sealing a record allocates %v times", allocs)
		}
	})
}
