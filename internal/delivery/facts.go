// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/gatecast/gatecast/internal/event"
)

// A Progress says that every event for a gateway after From, up to To, was written to
// one of its connections. With From equal to To it is a start: a connection of the
// gateway's began there, and every later event is written to it.
type Progress struct {
	GatewayID string
	From, To  uint64
}

// An Answer is a gateway's to an event.
type Answer struct {
	GatewayID string
	Seq       uint64
	Failed    bool
}

// Facts are what happened to events. Their JSON has the progress in "d" (delivered)
// and the answers in "a" (acked) and "f" (failed), and begins with the floor in
// "l" (lost) if there is one:
//
//	{"d":[["gw-1",17,42]],"a":[["gw-1",18],["gw-1",42]],"f":[["gw-2",42]]}
type Facts struct {
	// Floor is the place in the log up to which a Book had to forget what it knew;
	// zero for none.
	Floor    uint64
	Progress []Progress
	Answers  []Answer
}

// AppendTo appends the facts' JSON.
func (f Facts) AppendTo(dst []byte) []byte {
	dst = append(dst, '{')
	if f.Floor > 0 {
		dst = append(dst, `"l":`...)
		dst = strconv.AppendUint(dst, f.Floor, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"d":[`...)
	for i, p := range f.Progress {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendFact(dst, p.GatewayID, p.From, p.To)
	}
	dst = f.appendAnswers(append(dst, `],"a":[`...), false)
	dst = f.appendAnswers(append(dst, `],"f":[`...), true)
	return append(dst, `]}`...)
}

func (f Facts) appendAnswers(dst []byte, failed bool) []byte {
	first := true
	for _, a := range f.Answers {
		if a.Failed != failed {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendFact(dst, a.GatewayID, a.Seq)
	}
	return dst
}

func appendFact(dst []byte, gateway string, numbers ...uint64) []byte {
	dst = append(dst, '[')
	dst = event.AppendString(dst, gateway)
	for _, n := range numbers {
		dst = append(dst, ',')
		dst = strconv.AppendUint(dst, n, 10)
	}
	return append(dst, ']')
}

var errFacts = errors.New(`not facts of what became of events: want {"d":[["GATEWAY",FROM,TO],…],"a":[["GATEWAY",PLACE],…],"f":[…]}`)

// ParseFacts reads facts from their JSON. It takes exactly what [Facts.AppendTo]
// writes: a node reads millions of them when it starts.
func ParseFacts(b []byte) (Facts, error) {
	p := parser{rest: b}
	f := p.facts()
	if p.failed || len(p.rest) > 0 {
		return Facts{}, fmt.Errorf("%w; it goes wrong at byte %d", errFacts, len(b)-len(p.rest))
	}
	return f, nil
}

// A parser reads facts. Once something is not as expected it has failed and
// reads nothing more.
type parser struct {
	rest    []byte
	failed  bool
	gateway string // the last one read
}

func (p *parser) facts() (f Facts) {
	p.expect(`{`)
	if p.consume(`"l":`) {
		f.Floor = p.number()
		p.failed = p.failed || f.Floor == 0
		p.expect(`,`)
	}
	p.list(`"d":[`, func(gateway string) {
		f.Progress = append(f.Progress, Progress{gateway, p.place(), p.place()})
	})
	p.list(`,"a":[`, func(gateway string) {
		f.Answers = append(f.Answers, Answer{gateway, p.place(), false})
	})
	p.list(`,"f":[`, func(gateway string) {
		f.Answers = append(f.Answers, Answer{gateway, p.place(), true})
	})
	p.expect(`}`)
	return f
}

// list reads a list of facts; fact reads the places that follow the gateway.
func (p *parser) list(name string, fact func(gateway string)) {
	p.expect(name)
	for first := true; !p.failed && !p.consume(`]`); first = false {
		if !first {
			p.expect(`,`)
		}
		p.expect(`["`)
		gateway := p.name()
		p.expect(`"`)
		fact(gateway)
		p.expect(`]`)
	}
}

func (p *parser) consume(text string) bool {
	rest, ok := bytes.CutPrefix(p.rest, []byte(text))
	if ok && !p.failed {
		p.rest = rest
	}
	return ok && !p.failed
}

func (p *parser) expect(text string) { p.failed = !p.consume(text) }

// name reads a gateway's id, up to its closing quote.
func (p *parser) name() string {
	n := bytes.IndexByte(p.rest[:min(len(p.rest), event.MaxNameLen+1)], '"')
	if p.failed || n < 0 {
		p.failed = true
		return ""
	}
	if string(p.rest[:n]) != p.gateway { // often there are many of one gateway
		p.gateway = string(p.rest[:n])
	}
	p.failed = !event.ValidName(p.gateway)
	p.rest = p.rest[n:]
	return p.gateway
}

// place reads a place in the log, and the comma before it.
func (p *parser) place() uint64 {
	p.expect(`,`)
	return p.number()
}

const maxDigits = len("18446744073709551615")

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

// maxFrame is how many bytes the JSON of facts takes beside its facts.
const maxFrame = len(`{"l":,"d":[],"a":[],"f":[]}`) + maxDigits

// Parts returns the facts in pieces whose JSON has so many bytes at most; a
// single fact is a piece, however long.
func (f Facts) Parts(size int) iter.Seq[Facts] {
	return func(yield func(Facts) bool) {
		part, used := Facts{Floor: f.Floor}, maxFrame
		// room makes room for a fact of a gateway.
		room := func(gateway string, places int) bool {
			n := len(gateway) + len(`["",],`) + places*(maxDigits+1)
			used += n
			if used <= size || len(part.Progress)+len(part.Answers) == 0 {
				return true
			}
			full := part
			part, used = Facts{}, maxFrame+n
			return yield(full)
		}
		for _, p := range f.Progress {
			if !room(p.GatewayID, 2) {
				return
			}
			part.Progress = append(part.Progress, p)
		}
		for _, a := range f.Answers {
			if !room(a.GatewayID, 1) {
				return
			}
			part.Answers = append(part.Answers, a)
		}
		if part.Floor > 0 || len(part.Progress)+len(part.Answers) > 0 {
			yield(part)
		}
	}
}
