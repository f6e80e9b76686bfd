// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/stats"

	"github.com/google/uuid"
)

// BenchmarkGrowth measures the shard's own cost as connections grow, each of a gateway
// of its own: memory, an event for all, and an event for a random gateway.
func BenchmarkGrowth(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(n)
			b.Run("connect", c.benchmarkConnect)
			b.Run("all", c.benchmarkAll)
			b.Run("one", c.benchmarkOne)
		})
	}
}

// A crowd is many gateways with one connection each, of a shard without a loop. All use
// one transport, so that transports are not part of the memory.
type crowd struct {
	*state
	ids  []string // in the registry, as live is
	live []atomic.Int32
	void countingTransport
	seq  uint64
}

func newCrowd(n int) *crowd {
	c := &crowd{ids: make([]string, n), live: make([]atomic.Int32, n)}
	for i := range c.ids {
		c.ids[i] = uuid.NewString()
	}
	return c
}

// connect makes the state, and all connections.
func (c *crowd) connect() {
	start := time.Unix(1_000_000, 0)
	c.state = newState(Config{}.withDefaults(), 0, stats.NewShard(), func() {}, func() time.Time { return start })
	notRevoked := func() (event.CloseReason, bool) { return 0, false }
	open := func(*poller.Loop, Receiver) (Transport, error) { return &c.void, nil }
	for i, id := range c.ids {
		c.pending = append(c.pending, command{register: &Registration{
			Peer:   Peer{GatewayID: id, TokenID: id, Live: &c.live[i], Revoked: notRevoked},
			Open:   open,
			Closed: func() {},
		}})
		if len(c.pending) == maxInbox { // as many as an inbox takes
			c.settle()
		}
	}
	c.settle()
}

// settle runs turns until nothing is left to do.
func (c *crowd) settle() {
	for c.turn(c.base) {
	}
}

// deliver delivers an event and settles.
func (c *crowd) deliver(cmd command) {
	c.seq++
	cmd.message = &Message{Wire: wire200, Cursor: event.Cursor{Epoch: 7, Seq: c.seq}}
	c.pending = append(c.pending, cmd)
	c.settle()
}

func (c *crowd) benchmarkConnect(b *testing.B) {
	var held uint64
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c.state = nil
		before := heapInUse()
		b.StartTimer()
		c.connect()
		b.StopTimer()
		held = heapInUse() - before
		b.StartTimer()
	}
	n := float64(len(c.ids))
	b.ReportMetric(float64(held)/n, "B/conn")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/conn")
}

// heapInUse returns the bytes that remain after garbage collection.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // the first collection may end a sweep; the second empties pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (c *crowd) benchmarkAll(b *testing.B) {
	before := c.void.bytes
	for b.Loop() {
		c.deliver(command{to: receivers{scope: toAll}})
	}
	c.check(b, before, b.N*len(c.ids))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(c.ids)), "ns/delivery")
}

func (c *crowd) benchmarkOne(b *testing.B) {
	before := c.void.bytes
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		c.deliver(command{to: receivers{gateways: []string{c.ids[random.IntN(len(c.ids))]}}})
	}
	c.check(b, before, b.N)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/delivery")
}

// check checks that the bytes written match the number of deliveries.
func (c *crowd) check(b *testing.B, before, deliveries int) {
	if got, want := c.void.bytes-before, deliveries*len(wire200); got != want {
		b.Errorf("%d bytes written; want %d", got, want)
	}
}

// A countingTransport counts what it takes.
type countingTransport struct{ bytes int }

func (v *countingTransport) Write(vec [][]byte) (n int, err error) {
	for _, b := range vec {
		n += len(b)
	}
	v.bytes += n
	return n, nil
}

// otherWire is the wire of everything but events.
var otherWire = make([]byte, 100)

func (*countingTransport) Start()                              {}
func (*countingTransport) Deflates() bool                      { return false }
func (*countingTransport) Unsent() int                         { return 0 }
func (*countingTransport) Encode([]byte) []byte                { return otherWire }
func (*countingTransport) Ping() []byte                        { return otherWire }
func (*countingTransport) CloseFrame(event.CloseReason) []byte { return otherWire }
func (*countingTransport) CloseWrite()                         {}
func (*countingTransport) Close()                              {}
