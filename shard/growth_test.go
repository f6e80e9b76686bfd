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

// BenchmarkGrowth measures what the shard itself costs as its connections grow,
// each of a gateway of its own: memory, an event to all, and an event to one of
// them drawn at random.
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

// A crowd is many gateways with a connection each, of a shard without a loop.
// All have the same transport, so that theirs is no part of the memory.
type crowd struct {
	*state
	ids  []string // the registry's, as live is
	live []atomic.Int32
	void void
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

// deliver sends an event on its way, to the end.
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

// heapInUse returns the bytes of what the collector leaves.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // the first may end a sweep, and what pools hold goes with the second
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

// check checks that as much was written as so many deliveries are.
func (c *crowd) check(b *testing.B, before, deliveries int) {
	if got, want := c.void.bytes-before, deliveries*len(wire200); got != want {
		b.Errorf("%d bytes written; want %d", got, want)
	}
}

// A void is a transport that counts what it takes.
type void struct{ bytes int }

func (v *void) Write(vec [][]byte) (n int, err error) {
	for _, b := range vec {
		n += len(b)
	}
	v.bytes += n
	return n, nil
}

// voidWire is the wire of everything but events.
var voidWire = make([]byte, 100)

func (*void) Start()                              {}
func (*void) Deflates() bool                      { return false }
func (*void) Unsent() int                         { return 0 }
func (*void) Encode([]byte) []byte                { return voidWire }
func (*void) Ping() []byte                        { return voidWire }
func (*void) CloseFrame(event.CloseReason) []byte { return voidWire }
func (*void) CloseWrite()                         {}
func (*void) Close()                              {}
