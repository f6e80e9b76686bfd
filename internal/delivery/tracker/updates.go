// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/gatecast/gatecast/internal/event"
)

// A Progress reports that every event of a gateway after From, up to and including To,
// was written to one of its connections. If From equals To it is a start: a connection
// of the gateway began there, and every later event is written to it.
type Progress struct {
	GatewayID string
	From, To  uint64 // sequences in the log
}

// An Ack is a gateway's acknowledgement of an event.
type Ack struct {
	GatewayID string
	Seq       uint64 // the event's sequence in the log
	Failed    bool
}

// Updates are changes of delivery status. The journal stores them as JSON, with
// progress in "d" (delivered), acknowledgements in "a" (acked) and "f" (failed), and
// the floor, if there is one, in "l" (lost) at the beginning:
//
//	{"d":[["gw-1",17,42]],"a":[["gw-1",18],["gw-1",42]],"f":[["gw-2",42]]}
//
// Stored journals depend on this format.
type Updates struct {
	// Floor is the sequence up to which a Tracker had to forget everything; zero for
	// none.
	Floor    uint64
	Progress []Progress
	Acks     []Ack
}

// AppendTo appends the JSON of the updates to dst.
func (u Updates) AppendTo(dst []byte) []byte {
	dst = append(dst, '{')
	if u.Floor > 0 {
		dst = append(dst, `"l":`...)
		dst = strconv.AppendUint(dst, u.Floor, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"d":[`...)
	for i, p := range u.Progress {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTuple(dst, p.GatewayID, p.From, p.To)
	}
	dst = u.appendAcks(append(dst, `],"a":[`...), false)
	dst = u.appendAcks(append(dst, `],"f":[`...), true)
	return append(dst, `]}`...)
}

// appendAcks appends the acknowledgements of one kind as a list of tuples.
func (u Updates) appendAcks(dst []byte, failed bool) []byte {
	first := true
	for _, a := range u.Acks {
		if a.Failed != failed {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendTuple(dst, a.GatewayID, a.Seq)
	}
	return dst
}

// appendTuple appends ["GATEWAY",NUMBER,…].
func appendTuple(dst []byte, gateway string, numbers ...uint64) []byte {
	dst = append(dst, '[')
	dst = event.AppendString(dst, gateway)
	for _, n := range numbers {
		dst = append(dst, ',')
		dst = strconv.AppendUint(dst, n, 10)
	}
	return append(dst, ']')
}

var errSyntax = errors.New(`not delivery updates: want {"d":[["GATEWAY",FROM,TO],…],"a":[["GATEWAY",SEQ],…],"f":[…]}`)

// Parse reads updates from their JSON. It accepts exactly what [Updates.AppendTo]
// writes. A general JSON parser would be too slow: a node reads millions of tuples when
// it starts.
func Parse(b []byte) (Updates, error) {
	p := parser{rest: b}
	u := p.updates()
	if p.failed || len(p.rest) > 0 {
		return Updates{}, fmt.Errorf("%w; syntax error at byte %d", errSyntax, len(b)-len(p.rest))
	}
	return u, nil
}

// A parser reads updates. After the first mismatch failed is set, and it reads nothing
// more.
type parser struct {
	rest    []byte
	failed  bool
	gateway string // the last one read; consecutive tuples of a gateway share it
}

// updates reads a whole record. The members have one order: "l", "d", "a", "f".
func (p *parser) updates() (u Updates) {
	p.expect(`{`)
	if p.consume(`"l":`) {
		u.Floor = p.number()
		p.failed = p.failed || u.Floor == 0
		p.expect(`,`)
	}
	p.list(`"d":[`, func(gateway string) {
		u.Progress = append(u.Progress, Progress{gateway, p.seq(), p.seq()})
	})
	p.list(`,"a":[`, func(gateway string) {
		u.Acks = append(u.Acks, Ack{gateway, p.seq(), false})
	})
	p.list(`,"f":[`, func(gateway string) {
		u.Acks = append(u.Acks, Ack{gateway, p.seq(), true})
	})
	p.expect(`}`)
	return u
}

// list reads a list of tuples; numbers reads what follows the gateway in a tuple.
func (p *parser) list(name string, numbers func(gateway string)) {
	p.expect(name)
	for first := true; !p.failed && !p.consume(`]`); first = false {
		if !first {
			p.expect(`,`)
		}
		p.expect(`["`)
		gateway := p.name()
		p.expect(`"`)
		numbers(gateway)
		p.expect(`]`)
	}
}

// consume skips a text if it comes next, and reports whether it did.
func (p *parser) consume(text string) bool {
	rest, ok := bytes.CutPrefix(p.rest, []byte(text))
	if ok && !p.failed {
		p.rest = rest
	}
	return ok && !p.failed
}

// expect skips a text, and fails if it does not come next.
func (p *parser) expect(text string) { p.failed = !p.consume(text) }

// name reads a gateway id, up to its closing quote.
func (p *parser) name() string {
	n := bytes.IndexByte(p.rest[:min(len(p.rest), event.MaxNameLen+1)], '"')
	if p.failed || n < 0 {
		p.failed = true
		return ""
	}
	if string(p.rest[:n]) != p.gateway {
		p.gateway = string(p.rest[:n])
	}
	p.failed = !event.ValidName(p.gateway)
	p.rest = p.rest[n:]
	return p.gateway
}

// seq reads a comma and the sequence after it.
func (p *parser) seq() uint64 {
	p.expect(`,`)
	return p.number()
}

// maxDigits is the length of the largest sequence.
const maxDigits = len("18446744073709551615")

// number reads a decimal number without leading zeros.
func (p *parser) number() uint64 {
	n := 0
	for n < min(len(p.rest), maxDigits) && '0' <= p.rest[n] && p.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(string(p.rest[:n]), 10, 64)
	if p.failed || err != nil || n > 1 && p.rest[0] == '0' {
		p.failed = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// maxEnvelope is the most bytes that the JSON of updates has besides its tuples.
const maxEnvelope = len(`{"l":,"d":[],"a":[],"f":[]}`) + maxDigits

// Parts splits the updates into parts whose JSON has at most size bytes. A single
// tuple is a part however long it is.
func (u Updates) Parts(size int) iter.Seq[Updates] {
	return func(yield func(Updates) bool) {
		part, used := Updates{Floor: u.Floor}, maxEnvelope
		// reserve counts a tuple with so many sequences. If the tuple does not fit, it
		// yields the part and begins another. It returns false when yield did.
		reserve := func(gateway string, seqs int) bool {
			n := len(gateway) + len(`["",],`) + seqs*(maxDigits+1)
			used += n
			if used <= size || len(part.Progress)+len(part.Acks) == 0 {
				return true
			}
			full := part
			part, used = Updates{}, maxEnvelope+n
			return yield(full)
		}
		for _, p := range u.Progress {
			if !reserve(p.GatewayID, 2) {
				return
			}
			part.Progress = append(part.Progress, p)
		}
		for _, a := range u.Acks {
			if !reserve(a.GatewayID, 1) {
				return
			}
			part.Acks = append(part.Acks, a)
		}
		if part.Floor > 0 || len(part.Progress)+len(part.Acks) > 0 {
			yield(part)
		}
	}
}
