// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"io"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
)

// BenchmarkAppend measures appending one event to the send queues of connections that
// cannot be written. A turn does up to maxAppends of these.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(Config{SendQueueBytes: 1 << 40})
			for i := range n {
				r.connecting(fmt.Sprint(i))
			}
			r.settle()
			cmd := command{to: receivers{scope: toAll}}
			b.ReportAllocs()
			b.ResetTimer()
			for seq := uint64(1000); b.Loop(); seq++ {
				cmd.message = &Message{Wire: wire200, Cursor: event.Cursor{Epoch: 7, Seq: seq}}
				for done := false; !done; {
					_, done = r.apply(&cmd, maxAppends)
				}
				b.StopTimer()
				for _, c := range r.conns.items {
					c.out.queue.advance(c.out.queue.bytes, func(*Message) {})
					r.pool.put(c.out)
					c.out = nil
					c.dirty = false
				}
				r.dirty = r.dirty[:0]
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/append")
		})
	}
}

// wire200 is the wire of every event.
var wire200 = make([]byte, 200)

// BenchmarkDelivery measures an event from the inbox to transports that cost nothing.
func BenchmarkDelivery(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(Config{})
			for i := range n {
				r.connecting(fmt.Sprint(i))
			}
			r.settle()
			for _, c := range r.conns.items {
				c.transport = &discardTransport{c.transport.(*pipe)}
			}
			cmd := command{to: receivers{scope: toAll}}
			b.ReportAllocs()
			for seq := uint64(1000); b.Loop(); seq++ {
				cmd.message = &Message{Wire: wire200, Cursor: event.Cursor{Epoch: 7, Seq: seq}}
				r.post(cmd)
				r.settle()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
		})
	}
}

// A discardTransport takes everything.
type discardTransport struct{ *pipe }

func (s *discardTransport) Write(vec [][]byte) (n int, err error) {
	for _, b := range vec {
		m, _ := io.Discard.Write(b)
		n += m
	}
	return n, nil
}
