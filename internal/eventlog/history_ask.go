// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// This file asks the other nodes of a shared log what they know of a stream.
//
// A stream alone cannot prove its history: a restored backup looks like the original. A node that
// has been connected all the time can: it has seen every message. So a node that starts, or was
// cut off, asks. An answer has the node's lineage and the newest message that it has seen. The
// lineage is confirmed if it is that of the stream, and the stream has that message.

// A lineageQuestion asks the nodes that have a log open what they know of a stream.
type lineageQuestion struct {
	Run    string `json:"run"` // of the node that asks
	Stream string `json:"stream"`
}

// A lineageAnswer is what a node knows of a stream.
type lineageAnswer struct {
	Busy   bool            `json:"busy,omitempty"` // it is checking the stream itself
	Marker json.RawMessage `json:"marker,omitempty"`
	At     uint64          `json:"at"`   // sequence of the marker
	Last   uint64          `json:"last"` // the newest sequence
	Seq    uint64          `json:"seq"`  // of the newest message it has seen
	Time   int64           `json:"time"` // of that
}

const (
	lineageSubject = "lineage"
	// anyNode is a subject that nodes of every version answer, with their name.
	anyNode = "close"
	// askFor is how long a node waits for answers.
	askFor = 300 * time.Millisecond
	// joinFor is how long a node that starts waits for others to check a stream.
	joinFor = 10 * time.Second
)

// answerLineage answers the question of another node.
func (l *Log) answerLineage(_ string, data []byte) []byte {
	var q lineageQuestion
	if json.Unmarshal(data, &q) != nil || q.Run == l.run {
		return nil
	}
	h := l.historyOf(q.Stream)
	if h == nil {
		return nil
	}
	h.mu.Lock()
	cur, p := h.current.Load(), h.prints.latest()
	h.mu.Unlock()
	a := lineageAnswer{Busy: true}
	if !h.unsure.Load() && l.store.Connected() {
		a = lineageAnswer{Marker: cur.appendMarker(nil), At: cur.marker, Last: h.last.load(), Seq: p.seq, Time: p.time}
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic("BUG: a lineage does not marshal: " + err.Error())
	}
	return b
}

// join reads the lineage of a shared stream when a node starts. The epoch continues if a running
// node confirms it, or a node of a version before markers uses the stream. Otherwise no node
// knows what the servers have lost in the meantime, and an epoch begins.
func (h *history) join(ctx context.Context) error {
	var refused *Lineage // the lineage before another node's marker, which was first
	for deadline := time.Now().Add(joinFor); ; {
		info, err := h.info(ctx)
		if err != nil {
			return err
		}
		found, err := h.newest(ctx)
		if err != nil {
			return err
		}
		base := found
		if base == nil {
			base = firstEpoch(h.first)
		}
		// Another node was faster with its marker, after this node had read the stream: so the
		// stream has not gone back in between.
		if refused != nil && found != nil && !found.equal(refused) { // appended while this node watched
			h.adopt(found, info.Last, false)
			return nil
		}
		var confirmed *Lineage
		nodes := noAnswer
		if h.name == streamName || !h.log.alone { // else the answer is that of a moment ago, for the events
			confirmed, nodes, err = h.ask(ctx, base, found, &info)
		}
		if h.name == streamName {
			h.log.alone = confirmed == nil && nodes == noAnswer
		}
		switch {
		case err != nil:
			return err
		case confirmed != nil:
			return h.resume(ctx, confirmed, found, &info)
		case nodes == disagree && time.Now().Before(deadline):
			sleep(ctx, recheck)
			continue
		case nodes == older:
			return h.resume(ctx, base, found, &info)
		}
		// Nobody has seen the end of the stream, so an epoch begins there. If another node
		// appends anything first, the condition fails, and this node reads the stream again.
		l, err := h.mark(ctx, base.next(newEpoch(base.Epoch()), info.Last), storage.Expect{Last: &info.Last})
		switch {
		case errors.Is(err, storage.ErrConflict) && time.Now().Before(deadline):
			refused = base
			continue
		case err != nil:
			return fmt.Errorf("begin an epoch: %w", err)
		}
		h.adopt(l, l.marker, false)
		return nil
	}
}

// resume takes a lineage that is not new, and appends its marker again if it is gone.
func (h *history) resume(ctx context.Context, l, found *Lineage, info *storage.Info) error {
	h.adopt(l, info.Last, false)
	if found == nil && l.marker > 0 {
		return h.renew(ctx, l, nil)
	}
	return nil
}

// otherNodes is what the other nodes have answered.
type otherNodes int

const (
	noAnswer otherNodes = iota // no other node uses the stream
	older                      // nodes of a version before markers do
	disagree                   // a node has seen another history, or is checking the stream
)

// ask asks the other nodes for a stream's lineage. Base is that of the stream; found is that of
// its newest marker, or nil if it has none. One node that confirms is enough; others can be wrong
// only if they are not up to date. If no node answers, ask looks for nodes of versions that do not
// know the question: they answer another one.
func (h *history) ask(ctx context.Context, base, found *Lineage, info *storage.Info) (confirmed *Lineage, nodes otherNodes, err error) {
	q, err := json.Marshal(lineageQuestion{h.log.run, h.name})
	if err != nil {
		panic("BUG: a question does not marshal: " + err.Error())
	}
	var failed error
	wait, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	err = h.log.Bus().Ask(wait, lineageSubject, q, func(answer []byte) bool {
		l, err := h.agrees(ctx, answer, base, found, info)
		switch {
		case err != nil:
			failed = err
		case l != nil:
			confirmed = l
		default:
			nodes = disagree
		}
		return confirmed != nil
	})
	if confirmed != nil || nodes == disagree || failed != nil || err != nil {
		return confirmed, nodes, errors.Join(failed, err)
	}
	wait, cancel = context.WithTimeout(ctx, askFor)
	defer cancel()
	err = h.log.Bus().Ask(wait, anyNode, nil, func(node []byte) bool {
		if string(node) != h.log.cfg.Node { // this node answers too
			nodes = older
		}
		return nodes == older
	})
	return nil, nodes, err
}

// readLineageAnswer reads an answer and the lineage in it. The lineage is nil if the node is
// busy or the answer is invalid.
func readLineageAnswer(answer []byte) (a lineageAnswer, l *Lineage) {
	if json.Unmarshal(answer, &a) != nil || a.Busy {
		return a, nil
	}
	l, err := parseMarker(a.Marker, math.MaxInt64)
	if err != nil {
		return a, nil
	}
	l.marker = a.At
	return a, l
}

// agrees returns the lineage in a node's answer, or nil if it does not match the stream. If the
// answer is newer than info, it updates info.
func (h *history) agrees(ctx context.Context, answer []byte, base, found *Lineage, info *storage.Info) (*Lineage, error) {
	a, l := readLineageAnswer(answer)
	if l == nil {
		return nil, nil
	}
	if max(a.Last, a.Seq) > info.Last { // it can have been stored since
		now, err := h.info(ctx)
		if err != nil {
			return nil, err
		}
		if *info = now; max(a.Last, a.Seq) > info.Last {
			return nil, nil
		}
	}
	if found != nil && !l.equal(base) {
		return nil, nil
	}
	if a.Seq > 0 {
		if same, err := h.has(ctx, footprint{a.Seq, a.Time}, info); err != nil || !same {
			return nil, err
		}
	}
	return l, nil
}
