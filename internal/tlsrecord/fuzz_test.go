// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"testing"
)

// FuzzOpen holds a session to two things, whatever arrives: it makes of it what
// the model makes, which is nothing without the keys; and how it is cut makes no
// difference.
func FuzzOpen(f *testing.F) {
	e := newEnds(0)
	data, empty, update, more := e.data("data"), e.client.seal(23, nil, 5), e.keyUpdate(updateRequested), e.data("more")
	closeNotify := e.client.seal(21, []byte{1, 0}, 0)
	f.Add([]byte{}, []byte{})
	f.Add(slices.Concat(data, empty, update, more, closeNotify), []byte{1, 5, 20})
	f.Add(slices.Concat(data, empty, update, more, closeNotify, []byte("late")), []byte{})
	f.Add(slices.Concat(data, data), []byte{30})
	f.Add(slices.Concat(data, update), []byte{})
	f.Add(data[:len(data)-1], []byte{4, 1})
	f.Add([]byte("GET / HTTP/1.1\r\n"), []byte{3})
	f.Add([]byte("\x17\x03\x03\xff\xff"), []byte{})
	f.Add([]byte("\x17\x03\x03\x41\x00"), []byte{})
	f.Add([]byte("\x17\x03\x03\x00\x11seventeen bytes.."), []byte{2})
	f.Add([]byte("\x15\x03\x03\x00\x02\x02\x28"), []byte{})
	f.Add([]byte("\x14\x03\x03\x00\x01\x01"), []byte{})
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		want := new(model)
		want.open(newEnds(0).client, in)
		check(t, newEnds(0), want, in)
		check(t, newEnds(0), want, cut(in, cuts)...)
	})
}

// FuzzInner has a client that knows the keys and breaks the rules. It seals what
// the plan says, a record a step: content type, lengths of content and padding,
// content.
func FuzzInner(f *testing.F) {
	const step = "\x17\x04\x00data"
	f.Add([]byte(step), []byte{}, false)
	f.Add([]byte(step+"\x16\x05\x00\x18\x00\x00\x01\x01"+step+"\x16\x05\xff\x18\x00\x00\x01\x00"+step), []byte{9, 9, 9}, true)
	f.Add([]byte("\x16\x02\x00\x18\x00\x16\x03\x00\x00\x01\x00"+step), []byte{}, false)
	f.Add([]byte("\x16\x02\x00\x18\x00"+step), []byte{}, true)
	f.Add([]byte("\x16\x06\x00\x18\x00\x00\x01\x00\x18"+step), []byte{}, false)
	f.Add([]byte("\x16\x05\x00\x18\x00\x00\x01\x02"), []byte{}, false)
	f.Add([]byte("\x16\x05\x00\x18\x00\x00\x02\x00"), []byte{}, false)
	f.Add([]byte("\x16\x00\x00"+step), []byte{}, false)
	f.Add([]byte("\x16\x04\x00\x04\x00\x00\x00"), []byte{}, true)
	f.Add([]byte("\x15\x02\x07\x01\x5a"+step+"\x15\x02\x07\x01\x00"+step), []byte{}, false)
	f.Add([]byte("\x15\x02\x00\x02\x14"+step), []byte{}, false)
	f.Add([]byte("\x15\x01\x00\x02"), []byte{}, false)
	f.Add([]byte("\x15\x00\x00"), []byte{}, false)
	f.Add([]byte("\x14\x01\x00\x01"), []byte{}, false)
	f.Add([]byte("\x00\x00\x20"), []byte{}, false)
	f.Add([]byte(strings.Repeat("\x17\x00\x01", maxEmptyRecords)+step+strings.Repeat("\x17\x00\x01", maxEmptyRecords+1)+step), []byte{}, false)
	f.Fuzz(func(t *testing.T, plan, cuts []byte, second bool) {
		suite := 0
		if second {
			suite = 1
		}
		e, want := newEnds(suite), new(model)
		var wire []byte
		for want.err == nil && len(plan) >= 3 {
			contentType, n, padding := plan[0], min(int(plan[1]), len(plan)-3), int(plan[2])
			content := plan[3 : 3+n]
			plan = plan[3+n:]
			wire = append(wire, e.client.seal(contentType, content, padding)...)
			// A type of 0 is padding itself.
			inner := bytes.TrimRight(append(bytes.Clone(content), contentType), "\x00")
			if want.inner(inner); want.updated {
				e.client.update()
			}
		}
		wire = append(wire, e.data("after")...)
		if want.err == nil {
			want.inner([]byte("after\x17"))
		}
		check(t, newEnds(suite), want, wire)
		check(t, newEnds(suite), want, cut(wire, cuts)...)
	})
}

// check compares what a session makes of pieces with what the model made.
func check(t *testing.T, e *ends, want *model, pieces ...[]byte) {
	t.Helper()
	got, err := e.hearsPieces(pieces...)
	if got != string(want.data) || err != want.err {
		t.Fatalf("%q, %v; want %q, %v", got, err, want.data, want.err)
	}
	if err == nil && e.mustUpdate != want.asked {
		t.Errorf("an update is owed: %v; want %v", e.mustUpdate, want.asked)
	}
	if err != nil {
		e.hears(t, e.data("late"), "", err)
	}
}

// cut cuts b into pieces, the nth as long as the nth byte of cuts.
func cut(b, cuts []byte) (pieces [][]byte) {
	for _, n := range cuts {
		n := min(int(n), len(b))
		pieces, b = append(pieces, b[:n]), b[n:]
	}
	return append(pieces, b)
}

// A model makes of a client's records what RFC 8446 says, with all of them at
// hand and no thought of speed.
type model struct {
	data    []byte
	message []byte // of the handshake, not whole
	useless int
	asked   bool // for new keys of ours
	updated bool // the last record changed the client's keys
	err     error
}

// open opens what has arrived.
func (m *model) open(r *reference, in []byte) {
	for len(in) >= 5 && m.err == nil {
		n := int(in[3])<<8 | int(in[4])
		switch {
		case in[0] != 23:
			m.err = Alert(10)
		case n > 16384+256:
			m.err = Alert(22)
		case n < 17:
			m.err = Alert(20)
		case len(in) < 5+n:
			return
		default:
			if inner, ok := r.openInner(in[:5+n]); !ok {
				m.err = Alert(20)
			} else if len(inner) > 16385 {
				m.err = Alert(22)
			} else if m.inner(bytes.TrimRight(inner, "\x00")); m.updated {
				r.update()
			}
			in = in[5+n:]
		}
	}
}

// inner takes a record's content and type.
func (m *model) inner(b []byte) {
	m.updated = false
	if len(b) == 0 {
		m.err = Alert(10)
		return
	}
	content, contentType := b[:len(b)-1], b[len(b)-1]
	if contentType == 23 && len(content) > 0 && len(m.message) == 0 {
		m.data, m.useless = append(m.data, content...), 0
		return
	}
	m.useless++
	switch {
	case m.useless > 16, contentType != 22 && len(m.message) > 0:
		m.err = Alert(10)
	case contentType == 22:
		m.handshake(content)
	case contentType == 21:
		m.alert(content)
	case contentType != 23:
		m.err = Alert(10)
	}
}

func (m *model) handshake(content []byte) {
	m.message = append(m.message, content...)
	header := m.message[:min(4, len(m.message))]
	switch {
	case len(content) == 0, m.message[0] != 24:
		m.err = Alert(10)
	case !bytes.Equal(header, []byte{24, 0, 0, 1}[:len(header)]):
		m.err = Alert(50)
	case len(m.message) < 5:
	case len(m.message) > 5:
		m.err = Alert(10)
	case m.message[4] > 1:
		m.err = Alert(47)
	default:
		m.updated, m.asked, m.message = true, m.asked || m.message[4] == 1, nil
	}
}

func (m *model) alert(content []byte) {
	switch {
	case len(content) == 0:
		m.err = Alert(10)
	case len(content) != 2:
		m.err = Alert(50)
	case content[1] == 0:
		m.err = io.EOF
	case content[1] != 90:
		m.err = PeerAlert(content[1])
	}
}

// FuzzKeyLog holds the log to this: it keeps the secrets of lines that are as
// they should be, and a line that is not is an error.
func FuzzKeyLog(f *testing.F) {
	secret := testSecret(32, 0x11)
	for _, label := range []string{"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET"} {
		f.Add([]byte(logLine(label, secret)))
		f.Add([]byte(strings.ToUpper(logLine(label, testSecret(48, 1)))))
	}
	f.Add([]byte(logLine("CLIENT_TRAFFIC_SECRET_0", testSecret(49, 1))))
	f.Add([]byte("CLIENT_TRAFFIC_SECRET_0 x zz"))
	f.Add([]byte("CLIENT_TRAFFIC_SECRET_0 x abc"))
	f.Add([]byte("SERVER_TRAFFIC_SECRET_0\t\u2028\v00"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var k KeyLog
		n, err := k.Write(line)
		fields := strings.Fields(string(line))
		if len(fields) != 3 {
			if n != 0 || err != errKeyLog {
				t.Errorf("Write = %d, %v; want an error", n, err)
			}
			return
		}
		secret, hexErr := hex.DecodeString(fields[2])
		ours := fields[0] == "CLIENT_TRAFFIC_SECRET_0" || fields[0] == "SERVER_TRAFFIC_SECRET_0"
		bad := ours && (hexErr != nil || len(secret) > 48)
		if (err != nil) != bad || err == nil && n != len(line) {
			t.Errorf("Write = %d, %v; want an error: %v", n, err, bad)
		}
		if !ours || bad {
			secret = nil
		}
		if got := k.client[:k.clientLen]; fields[0] == "CLIENT_TRAFFIC_SECRET_0" && !bytes.Equal(got, secret) {
			t.Errorf("the client's secret is %x", got)
		}
		if got := k.server[:k.serverLen]; fields[0] == "SERVER_TRAFFIC_SECRET_0" && !bytes.Equal(got, secret) {
			t.Errorf("the server's secret is %x", got)
		}
	})
}
