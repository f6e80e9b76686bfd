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

	"github.com/nats-io/nats.go/jetstream"
)

// This file compares shared streams with what the node has seen of them: a NATS server may
// come back with older files or with none, and streams may be deleted, made again by
// hand, or purged.

const (
	// checkFully is how often a stream is compared also when nothing seems to have
	// happened to it.
	checkFully = 10 * time.Second
	// recheck is the pause after a check that failed or found another history. A server
	// that is no leader any more may answer with what it has; so two checks must agree.
	recheck = 250 * time.Millisecond
	// checkTimeout bounds one check.
	checkTimeout = 5 * time.Second
)

// errSuspect says that a check found another history, which the next will confirm or not.
var errSuspect = fmt.Errorf("%w: its history is not what it was; looking again", ErrUnavailable)

// errUnsure says that it is being found out what history the stream has: the connection
// was lost, the stream is gone, or a check found another history.
var errUnsure = fmt.Errorf("%w: it is not known yet whether its history is what it was; try again in a moment", ErrUnavailable)

// check compares the stream with what this node has seen of it, and puts right what it
// finds: a stream that is gone is made again, a marker that is gone or may soon leave the
// stream is appended again, and when the history is another one an epoch begins after
// what is common, or the epoch is adopted that another node has begun.
func (h *history) check(ctx context.Context) error {
	h.checking.Lock()
	defer h.checking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	check := h.compare
	if !h.shared {
		check = h.keep
	}
	err := check(ctx)
	if h.remade && errors.Is(err, context.DeadlineExceeded) {
		h.discard()
	}
	if err != nil && h.log.life.Err() == nil {
		return fmt.Errorf("%w: %w%s", ErrUnavailable, err, h.log.server.because())
	}
	return err
}

// keep sees to the marker of a stream that only this process writes.
func (h *history) keep(ctx context.Context) error {
	info, err := h.stream.Info(ctx)
	if err != nil {
		return err
	}
	h.noted(&info.State)
	cur := h.lineage()
	if cur.marker == 0 || cur.marker >= info.State.FirstSeq && !h.due(&info.State, cur) {
		return nil
	}
	l, err := h.mark(ctx, cur)
	if err != nil {
		return err
	}
	h.take(l, l.marker, false)
	return h.log.server.marked(h.name, l)
}

// noted notes the stream's bounds for the log.
func (h *history) noted(s *jetstream.StreamState) {
	if h.name != streamName {
		return
	}
	first := s.FirstSeq
	if s.Msgs == 0 {
		first = s.LastSeq + 1
	}
	h.log.first.Store(max(first, h.lineage().floor+1))
}

func (h *history) compare(ctx context.Context) error {
	cur, last, conns := h.lineage(), h.last.load(), h.log.conns.Load()
	info, err := h.infoWith(ctx, last, h.infoOrMake)
	if err != nil {
		return err
	}
	state := info.State
	h.noted(&state)
	if h.markedSeq != cur.marker { // another node has appended it again
		h.markedSeq, h.markedAt = cur.marker, time.Now()
	}
	gone := 0 < cur.marker && cur.marker < state.FirstSeq // the marker has left the stream
	if !h.unsure.Load() && !h.suspected && !gone && info.Created.Equal(h.created) && h.checked.conns == conns &&
		h.checked.last == state.LastSeq && time.Since(h.checked.at) < checkFully && !h.due(&state, cur) {
		return nil
	}
	found, err := h.newest(ctx)
	if err != nil {
		return err
	}
	good, bad := uint64(0), uint64(1) // of a stream that was made again nothing is known
	if info.Created.Equal(h.created) {
		if good, bad, err = h.compareFootprints(ctx, &state, last); err != nil {
			return err
		}
		if last > state.LastSeq {
			bad = min(bad, state.LastSeq+1)
		}
	}
	seen := sight{info: info, cur: cur, found: found, last: last, good: good, bad: bad}
	if h.checked.conns != conns {
		err = h.afterLoss(ctx, &seen)
	} else {
		err = h.whileConnected(ctx, &seen)
	}
	if err != nil {
		return err
	}
	if h.lineage().branch == cur.branch {
		h.last.advance(cur.branch, state.LastSeq)
		if h.lineage().equal(cur) { // no marker has come between
			h.known.advance(cur.branch, state.LastSeq)
		}
		if state.Msgs > 0 {
			h.mu.Lock()
			h.prints.add(footprint{state.LastSeq, state.LastTime.UnixNano()})
			h.mu.Unlock()
		}
	}
	h.suspected, h.waited = false, 0
	h.checked.at, h.checked.conns, h.checked.last = time.Now(), conns, state.LastSeq
	if h.log.conns.Load() == conns {
		h.unsure.Store(false)
	}
	h.log.out.release()
	return nil
}

// info asks for the stream's state.
func (h *history) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := h.log.js.Stream(ctx, h.name)
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	return info, quorum(info.Cluster)
}

// A leader may be behind what another of its stream's servers has told a tail, for this
// long at most.
const (
	leaderLag   = time.Second
	leaderPause = 20 * time.Millisecond
)

// infoWith asks for the stream's state until that has a sequence that this node has seen,
// or a server that was only late would have it.
func (h *history) infoWith(ctx context.Context, seq uint64, ask func(context.Context) (*jetstream.StreamInfo, error)) (*jetstream.StreamInfo, error) {
	for deadline := time.Now().Add(leaderLag); ; sleep(ctx, leaderPause) {
		info, err := ask(ctx)
		if err != nil || info.State.LastSeq >= seq || info.Cluster == nil || len(info.Cluster.Replicas) == 0 || time.Now().After(deadline) || ctx.Err() != nil {
			return info, err
		}
	}
}

// infoOrMake is info, and makes the stream again if it is gone. It is not made in the
// moment in which it is found missing: the server may still be removing its files, and
// takes nothing into a stream whose files it has then removed.
func (h *history) infoOrMake(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := h.info(ctx)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		h.goneSince = time.Time{}
		return info, err
	}
	h.unsure.Store(true)
	if h.goneSince.IsZero() {
		h.goneSince = time.Now()
	}
	if time.Since(h.goneSince) < goneFor {
		return nil, err
	}
	h.goneSince, h.remade = time.Time{}, true
	h.log.cfg.Logger.Error("event log: a stream is gone; making it again", "stream", h.name)
	if _, _, err := h.log.openStream(ctx, h.config); err != nil {
		return nil, err
	}
	return h.info(ctx)
}

// compareFootprints returns the newest sequence of which the stream has the message that
// this node has seen, and the oldest one of which it has another or none, as far as it
// looked: math.MaxUint64 when there is none. Known is the newest sequence that was known
// before the state was asked for: what this node has seen since may be missing there.
func (h *history) compareFootprints(ctx context.Context, state *jetstream.StreamState, known uint64) (good, bad uint64, err error) {
	h.mu.Lock()
	prints := append(footprints(nil), h.prints...)
	h.mu.Unlock()
	for len(prints) > 0 && prints[len(prints)-1].seq > max(known, state.LastSeq) {
		prints = prints[:len(prints)-1]
	}
	bad = math.MaxUint64
	lo, hi := 0, len(prints) // prints[:lo] are good, prints[hi:] are bad
	for probe := hi - 1; lo < hi; probe = lo + (hi-lo)/2 {
		same, err := h.has(ctx, prints[probe], state)
		switch {
		case err != nil:
			return 0, 0, err
		case same:
			lo = probe + 1
		default:
			hi = probe
		}
	}
	if hi < len(prints) {
		bad = prints[hi].seq
	}
	if lo > 0 {
		good = prints[lo-1].seq
	}
	return good, bad, nil
}

// has reports whether the stream has a message that this node has seen. What retention
// has taken it once had.
func (h *history) has(ctx context.Context, p footprint, state *jetstream.StreamState) (bool, error) {
	switch {
	case p.seq > state.LastSeq:
		return false, nil
	case p.seq == state.LastSeq && !state.LastTime.IsZero() && state.Msgs > 0:
		return state.LastTime.UnixNano() == p.time, nil
	case p.seq < state.FirstSeq:
		return true, nil
	}
	m, err := h.stream.GetMsg(ctx, p.seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // somebody deleted it, or it left just now
		return true, nil
	case err != nil:
		return false, err
	}
	return m.Time.UnixNano() == p.time, nil
}

// A sight is what a check has found.
type sight struct {
	info  *jetstream.StreamInfo
	cur   *Lineage // what this node knows
	found *Lineage // what the newest marker says; nil: there is none
	last  uint64   // the newest sequence that this node has seen
	// Up to good the stream has what this node has seen; at bad, if that is not
	// math.MaxUint64, it has something else, or nothing.
	good, bad uint64
}

// whileConnected draws the consequences for a node that has been connected since the last
// check. No server has come back with another store unseen; but the stream may have been
// deleted or made again, and its other servers may have lost something.
func (h *history) whileConnected(ctx context.Context, s *sight) error {
	target := s.cur
	if s.found != nil && !s.found.equal(s.cur) {
		target = s.found
	}
	remade := !s.info.Created.Equal(h.created)
	switch common := s.cur.Common(target); {
	case s.bad <= common && s.bad != math.MaxUint64:
		return h.depart(ctx, s, s.cur, s.good)
	case s.found != nil && (target != s.cur && s.found.marker >= s.cur.marker || remade):
		h.follow(s)
	case s.cur.marker > 0 && (s.found == nil || s.found.marker < s.cur.marker || h.due(&s.info.State, s.cur)):
		return h.renew(ctx, s.cur, s.found)
	}
	return nil
}

// afterLoss draws the consequences for a node that has lost the connection since the last
// check. The server may have come back with any store there once was, and so with markers
// of epochs that have gone on elsewhere; and it may have lost what only another node has
// seen. So the node goes on in an epoch only when another node vouches for it, which has
// not lost the connection or has asked before.
func (h *history) afterLoss(ctx context.Context, s *sight) error {
	same := s.info.Created.Equal(h.created) && s.bad == math.MaxUint64
	if same && (s.found == nil || s.found.equal(s.cur)) {
		vouched, said, err := h.ask(ctx, s.cur, s.found, s.info)
		switch {
		case err != nil:
			return err
		case (vouched == nil || !vouched.equal(s.cur)) && said != older:
			h.suspected = true // nothing contradicts, and there is nothing to look at again
			return h.depart(ctx, s, s.cur, s.info.State.LastSeq)
		case s.cur.marker > 0 && (s.found == nil || h.due(&s.info.State, s.cur)): // purged, or about to leave
			return h.renew(ctx, s.cur, s.found)
		}
		return nil
	}
	if s.found != nil && !s.found.equal(s.cur) {
		vouched, said, err := h.ask(ctx, s.found, s.found, s.info)
		switch {
		case err != nil:
			return err
		case vouched != nil:
			h.follow(s)
			return nil
		case said == disagree && h.waited < maxWaits:
			h.waited++
			h.unsure.Store(true)
			return errSuspect
		}
	}
	// The stream's own markers say what it has. After that it has lost something, or may
	// have; if nobody has put another message where this node knows one.
	base, after := s.found, s.info.State.LastSeq
	if base == nil {
		base = firstEpoch(uint64(s.info.Created.UnixMilli()))
	}
	if s.info.Created.Equal(h.created) && s.bad <= min(after, s.cur.Common(base)) {
		after = s.good
	}
	return h.depart(ctx, s, base, after)
}

// maxWaits is how many checks wait for other nodes to find out what has become of the
// stream before this one decides by itself.
const maxWaits = 8

// depart begins an epoch after a sequence of a lineage: what comes next is not what this
// node has seen, or may not be.
func (h *history) depart(ctx context.Context, s *sight, base *Lineage, after uint64) error {
	if !h.suspected {
		h.suspected = true
		h.unsure.Store(true)
		return errSuspect
	}
	newest, marker := max(s.cur.Epoch(), base.Epoch()), uint64(0)
	if s.found != nil {
		newest, marker = max(newest, s.found.Epoch()), s.found.marker
	}
	next := base.next(newEpoch(newest), after)
	next.branch = s.cur.branch
	options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(marker)}
	if after == s.info.State.LastSeq {
		options = append(options, jetstream.WithExpectLastSequence(after))
	}
	l, err := h.mark(ctx, next, options...)
	if err != nil {
		return err // another node was first, or it is tried again
	}
	h.created, h.remade = s.info.Created, false
	h.take(l, l.marker, true)
	return nil
}

// discard deletes a stream that this node has made again, if it has taken nothing since:
// the server has removed its files with those of the one before.
func (h *history) discard() {
	ctx, cancel := context.WithTimeout(h.log.life, openTry)
	defer cancel()
	info, err := h.info(ctx)
	if err != nil || info.State.LastSeq > 0 {
		return
	}
	_ = h.log.js.DeleteStream(ctx, h.name) // or it is tried again
}

// follow adopts the epoch that another node has begun.
func (h *history) follow(s *sight) {
	forced := s.bad != math.MaxUint64 || s.last > s.info.State.LastSeq || !s.info.Created.Equal(h.created)
	h.created, h.remade = s.info.Created, false
	h.take(s.found, s.info.State.LastSeq, forced)
}

// renew appends the current lineage's marker again.
func (h *history) renew(ctx context.Context, cur, found *Lineage) error {
	after := uint64(0)
	if found != nil {
		after = found.marker
	}
	l, err := h.mark(ctx, cur, jetstream.WithExpectLastSequencePerSubject(after))
	if conflict(err) { // another node was first
		return nil
	}
	if err == nil {
		h.take(l, l.marker, false)
	}
	return err
}

// conflict reports that something was not appended because another message came first.
func conflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// due reports whether a marker may leave the stream before long: when half of what
// retention allows has passed since.
func (h *history) due(state *jetstream.StreamState, cur *Lineage) bool {
	if cur.marker == 0 {
		return false
	}
	if age := h.config.MaxAge; age > 0 && time.Since(h.markedAt) > age/2 {
		return true
	}
	limit := uint64(max(h.config.MaxBytes, 0))
	older := cur.marker - state.FirstSeq // messages before it
	return limit > 0 && state.Bytes > limit/2 && (cur.marker < state.FirstSeq || older < state.Msgs/2)
}

// A lineageQuestion asks the nodes that have a log open what they know of a stream.
type lineageQuestion struct {
	Run    string `json:"run"` // of who asks
	Stream string `json:"stream"`
}

// A lineageAnswer is what a node knows of a stream.
type lineageAnswer struct {
	Busy   bool            `json:"busy,omitempty"` // it is finding out
	Marker json.RawMessage `json:"marker,omitempty"`
	At     uint64          `json:"at"`   // where the marker stands
	Last   uint64          `json:"last"` // the newest sequence
	Seq    uint64          `json:"seq"`  // of the newest message it has seen
	Time   int64           `json:"time"` // of that
}

const (
	lineageSubject = "lineage"
	// everybody is a subject that nodes of every version answer, with their name.
	everybody = "close"
	// askFor is how long answers are waited for.
	askFor = 300 * time.Millisecond
	// joinFor is how long a node that starts waits for others to find out what has become
	// of a stream.
	joinFor = 10 * time.Second
)

// answerLineage answers the question of a node that starts.
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
	if !h.unsure.Load() && l.conn.IsConnected() {
		a = lineageAnswer{Marker: cur.appendMarker(nil), At: cur.marker, Last: h.last.load(), Seq: p.seq, Time: p.time}
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic("BUG: a lineage does not marshal: " + err.Error())
	}
	return b
}

// join learns the lineage of a shared stream, as a node starts. When a node that runs
// vouches for it, or one of a version that knows no markers uses it, it goes on;
// otherwise nobody knows what its servers have lost meanwhile, and an epoch begins.
func (h *history) join(ctx context.Context) error {
	var refused *Lineage // by another node's marker: what was in the stream before
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
		if refused != nil && found != nil && !found.equal(refused) { // appended while this node watched
			h.take(found, info.State.LastSeq, false)
			return nil
		}
		var vouched *Lineage
		others := none
		if h.name == streamName || !h.log.alone { // else it is as it was a moment ago, with the events
			vouched, others, err = h.ask(ctx, base, found, info)
		}
		if h.name == streamName {
			h.log.alone = vouched == nil && others == none
		}
		switch {
		case err != nil:
			return err
		case vouched != nil:
			return h.goOn(ctx, vouched, found, info)
		case others == disagree && time.Now().Before(deadline):
			sleep(ctx, recheck)
			continue
		case others == older:
			return h.goOn(ctx, base, found, info)
		}
		l, err := h.mark(ctx, base.next(newEpoch(base.Epoch()), info.State.LastSeq), jetstream.WithExpectLastSequence(info.State.LastSeq))
		switch {
		case conflict(err) && time.Now().Before(deadline):
			refused = base
			continue
		case err != nil:
			return fmt.Errorf("begin an epoch: %w", err)
		}
		h.take(l, l.marker, false)
		return nil
	}
}

// goOn takes a lineage that is not new, and puts its marker into the stream if it is gone.
func (h *history) goOn(ctx context.Context, l, found *Lineage, info *jetstream.StreamInfo) error {
	h.take(l, info.State.LastSeq, false)
	if found == nil && l.marker > 0 {
		return h.renew(ctx, l, nil)
	}
	return nil
}

// others says what the other nodes said.
type others int

const (
	none     others = iota // nobody uses the stream
	older                  // nodes do that know no markers
	disagree               // a node has seen another history than the stream has now, or is finding out
)

// ask asks the other nodes for a stream's lineage. Base is what the stream says, and
// found its marker's, nil when it has none.
func (h *history) ask(ctx context.Context, base, found *Lineage, info *jetstream.StreamInfo) (vouched *Lineage, said others, err error) {
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
			vouched = l
		default:
			said = disagree
		}
		return vouched != nil
	})
	if vouched != nil || said == disagree || failed != nil || err != nil {
		return vouched, said, errors.Join(failed, err)
	}
	wait, cancel = context.WithTimeout(ctx, askFor)
	defer cancel()
	err = h.log.Bus().Ask(wait, everybody, nil, func(node []byte) bool {
		if string(node) != h.log.cfg.Node { // this node may answer too
			said = older
		}
		return said == older
	})
	return nil, said, err
}

// readLineageAnswer reads an answer and the lineage in it; nil when the node is busy, or
// when the answer cannot be read: then it vouches for nothing.
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

// agrees returns the lineage of a node whose answer fits what the stream has.
func (h *history) agrees(ctx context.Context, answer []byte, base, found *Lineage, info *jetstream.StreamInfo) (*Lineage, error) {
	a, l := readLineageAnswer(answer)
	if l == nil {
		return nil, nil
	}
	if max(a.Last, a.Seq) > info.State.LastSeq { // it may have come since
		now, err := h.info(ctx)
		if err != nil {
			return nil, err
		}
		if *info = *now; max(a.Last, a.Seq) > info.State.LastSeq {
			return nil, nil
		}
	}
	if found != nil && !l.equal(base) {
		return nil, nil
	}
	if a.Seq > 0 {
		if same, err := h.has(ctx, footprint{a.Seq, a.Time}, &info.State); err != nil || !same {
			return nil, err
		}
	}
	return l, nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
