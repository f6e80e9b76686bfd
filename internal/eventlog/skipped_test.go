// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/test/testenv"
)

// unknown has messages that are not events, with subjects of events.
var unknown = []nats.Msg{
	{Subject: subjectPrefix + "gateway.gw-1"},
	{Subject: subjectPrefix + "all"},
	{Subject: subjectPrefix + "all", Data: []byte(`{}`)},
	{Subject: subjectPrefix + "all", Data: []byte(`[]`)},
	{Subject: subjectPrefix + "all", Data: []byte(`{`)},
	{Subject: subjectPrefix + "all", Data: []byte("hello")},
	{Subject: subjectPrefix + "all", Data: []byte("\xff\xfe")},
	{Subject: subjectPrefix + "all", Data: []byte(`{"payload":1}`)},
	{Subject: subjectPrefix + "all", Data: bytes.Repeat([]byte("{"), 900_000)},
	{Subject: subjectPrefix + "all", Data: []byte(`{"id":"a-1","type":"a","payload":1,"timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "all", Data: []byte(`{"type":"a","payload":1,"id":"a-1","timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "all", Data: []byte(`{"type":1,"payload":1,"timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "all", Data: []byte("{\"type\":\"a\",\"payload\":\"\xff\",\"timestamp\":null,\"correlationId\":\"\"}")},
	{Subject: subjectPrefix + "gateway.gw-1", Data: []byte(`{"type":"a","payload":1,"gatewayId":"gw-2","timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "gateway", Data: []byte(`{"type":"a","payload":1,"timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "gateway.a.b", Data: []byte(`{"type":"a","payload":1,"timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "other", Data: []byte(`{"type":"a","payload":1,"timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "gateways", Data: []byte(`{"type":"a","payload":1,"timestamp":null,"correlationId":""}`)},
	{Subject: subjectPrefix + "all", Header: nats.Header{"X": {"headers only"}}},
	{Subject: subjectPrefix + "all", Header: nats.Header{headerKey: {"=!"}}, Data: []byte(`{"type":"a","payload":1,"timestamp":null,"correlationId":""}`)},
}

// Messages that gatecast did not write are skipped by every reader of the log, and counted
// once.
func TestSkippedEvents(t *testing.T) {
	var counted atomic.Int64
	var logged lines
	l := open(t, config{OnSkipped: func(s Source) {
		if s == SourceEvents {
			counted.Add(1)
		}
	}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	first := add(t, l, 1)
	for i := range unknown {
		if _, err := l.js.PublishMsg(t.Context(), &unknown[i]); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	last := add(t, l, 1)

	got := read(t, l, event.Cursor{}, len(unknown)+2)
	for i, e := range got {
		if ours := i == 0 || i == len(got)-1; (e.Body != nil) != ours {
			t.Errorf("event %d is read as %q", i+1, e.Body)
		}
	}
	if n := counted.Load(); n != int64(len(unknown)) {
		t.Errorf("%d messages were counted; want %d", n, len(unknown))
	}
	if n := strings.Count(logged.String(), "gatecast did not write"); n != 1 {
		t.Errorf("they are logged in %d lines; want one:\n%s", n, logged.String())
	}

	list, next, more, err := l.List(t.Context(), Query{Limit: 100})
	if err != nil || len(list) != 2 || more || next.Seq < last.Seq {
		t.Errorf("%d are listed, up to %v, more %v, error %v", len(list), next, more, err)
	}
	bodies := 0
	if _, err := l.Read(t.Context(), 0, func(e Entry) error {
		if e.Body != nil {
			bodies++
		}
		return nil
	}); err != nil || bodies != 2 {
		t.Errorf("%d are read, error %v", bodies, err)
	}
	for seq := first.Seq + 1; seq < last.Seq; seq++ {
		if e, err := l.Get(t.Context(), seq); !errors.Is(err, ErrNotRetained) {
			t.Errorf("event %d is %q, error %v", seq, e.Body, err)
		}
	}
	if n := counted.Load(); n != int64(len(unknown)) {
		t.Errorf("reading them again counts them again: %d", n)
	}
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The first skipped message is logged at once, and the number of later ones after a while.
func TestSkippedLog(t *testing.T) {
	var logged lines
	f := newSkipLog(slog.New(slog.NewTextHandler(&logged, nil)), func(Source) {})
	f.every = 20 * time.Millisecond
	defer f.close()
	f.add(SourceBus, "bus", "a", errNotEvent)
	if !strings.Contains(logged.String(), "messages=1 last=a") {
		t.Errorf("logged %s", logged.String())
	}
	total := 1
	for i := range 10 {
		f.add(SourceBus, "bus", fmt.Sprint("m", i), errNotEvent)
		total++
	}
	testenv.Eventually(t, "all are logged", func() bool {
		sum := 0
		for line := range strings.Lines(logged.String()) {
			var n int
			if _, rest, ok := strings.Cut(line, "messages="); ok {
				_, _ = fmt.Sscan(rest, &n)
			}
			sum += n
		}
		return sum == total
	})
	f.close()
	f.add(SourceBus, "bus", "late", errNotEvent) // logs nothing
	if strings.Contains(logged.String(), "late") {
		t.Error("a closed log logs")
	}
}

// Whatever a message contains, its entry can be delivered.
func FuzzEntry(f *testing.F) {
	l := silent().log
	for i := range unknown {
		m := &unknown[i]
		if len(m.Data) < 1000 {
			f.Add(m.Subject, m.Header.Get(headerGateways), m.Header.Get(headerKey), m.Data)
		}
	}
	ev, body := newEvent(1)
	subject, _, _ := address(ev)
	f.Add(subject, "", "", body)
	f.Fuzz(func(t *testing.T, subject, gateways, key string, data []byte) {
		e, err := l.entry(&storage.Message{Subject: subject, Header: storage.Header{headerGateways: {gateways}, headerKey: {key}}, Data: data, Seq: 7, Time: time.Unix(1, 0)})
		if (err == nil) != (e.Body != nil) || e.Cursor.Seq != 7 {
			t.Fatalf("%+v with error %v", e, err)
		}
		if err != nil {
			return
		}
		if e.Published.IsZero() {
			t.Error("it has no time")
		}
		if frame := event.AppendWithID(nil, e.Body, event.Cursor{Epoch: 1, Seq: 7}); !json.Valid(frame) {
			t.Errorf("its frame is %q", frame)
		}
	})
}
