// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"errors"
	"testing"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

func TestReadAck(t *testing.T) {
	p := &publisher{store: &Store{backend: &cluster{}}, stream: storage.EventsStream, expect: []byte(`{"stream":"gatecast_events","seq":`)}
	cases := []struct {
		name, data string
		want       storage.Ack
		ok         bool
	}{
		{"usual", `{"stream":"gatecast_events","seq":17}`, storage.Ack{Seq: 17}, true},
		{"other form", `{"seq": 18, "stream":"gatecast_events","domain":"x"}`, storage.Ack{Seq: 18}, true},
		{"duplicate", `{"stream":"gatecast_events","seq":19,"duplicate":true}`, storage.Ack{Seq: 19, Duplicate: true}, true},
		{"error", `{"error":{"code":503,"description":"no room"},"stream":"gatecast_events","seq":0}`, storage.Ack{}, false},
		{"empty", ``, storage.Ack{}, false},
		{"no JSON", `what`, storage.Ack{}, false},
		{"no sequence", `{"stream":"gatecast_events"}`, storage.Ack{}, false},
		{"cut", `{"stream":"gatecast_events","seq":`, storage.Ack{}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, err := p.readAck([]byte(c.data))
			if a != c.want || (err == nil) != c.ok || err != nil && !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("ack %+v, error %v", a, err)
			}
		})
	}
}
