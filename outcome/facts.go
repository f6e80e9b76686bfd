// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"gatecast/event"
)

// A Progress says that every event for a gateway behind From, up to To, was
// written to one of its connections.
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
// and the answers in "a" (acked) and "f" (failed):
//
//	{"d":[["gw-1",17,42]],"a":[["gw-1",18],["gw-1",42]],"f":[["gw-2",42]]}
type Facts struct {
	Progress []Progress
	Answers  []Answer
}

// AppendTo appends the facts' JSON.
func (f Facts) AppendTo(dst []byte) []byte {
	dst = append(dst, `{"d":[`...)
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

var errFact = errors.New(`want ["GATEWAY",PLACE,…]`)

// ParseFacts reads facts from their JSON.
func ParseFacts(b []byte) (f Facts, err error) {
	var j struct {
		Delivered []fact `json:"d"`
		Acked     []fact `json:"a"`
		Failed    []fact `json:"f"`
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return Facts{}, fmt.Errorf("not facts of what became of events: %w", err)
	}
	for _, d := range j.Delivered {
		if d.count != 2 || d.numbers[0] >= d.numbers[1] {
			return Facts{}, fmt.Errorf("d: %w", errFact)
		}
		f.Progress = append(f.Progress, Progress{d.gateway, d.numbers[0], d.numbers[1]})
	}
	for _, list := range []struct {
		facts  []fact
		failed bool
	}{{j.Acked, false}, {j.Failed, true}} {
		for _, a := range list.facts {
			if a.count != 1 {
				return Facts{}, fmt.Errorf("a, f: %w", errFact)
			}
			f.Answers = append(f.Answers, Answer{a.gateway, a.numbers[0], list.failed})
		}
	}
	return f, nil
}

// A fact is a gateway and one or two numbers.
type fact struct {
	gateway string
	numbers [2]uint64
	count   int
}

// UnmarshalJSON implements [json.Unmarshaler].
func (f *fact) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) < 2 || len(parts) > 3 {
		return errFact
	}
	if err := json.Unmarshal(parts[0], &f.gateway); err != nil || !event.ValidName(f.gateway) {
		return errFact
	}
	for i, p := range parts[1:] {
		if err := json.Unmarshal(p, &f.numbers[i]); err != nil || f.numbers[i] > 1<<62 {
			return errFact
		}
	}
	f.count = len(parts) - 1
	return nil
}

// factBytes is about what a fact takes, in JSON.
const factBytes = 64

// Parts returns the facts in pieces whose JSON has about so many bytes.
func (f Facts) Parts(size int) iter.Seq[Facts] {
	n := max(size/factBytes, 1)
	return func(yield func(Facts) bool) {
		for part := range slices.Chunk(f.Progress, n) {
			if !yield(Facts{Progress: part}) {
				return
			}
		}
		for part := range slices.Chunk(f.Answers, n) {
			if !yield(Facts{Answers: part}) {
				return
			}
		}
	}
}
