// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/gatecast/gatecast/internal/event"
)

const (
	// appendTimeout is how long the log may answer nothing before what waits for
	// it is given up. JetStream does not answer at all when a write failed; but on
	// a slow disk a full window may take longer to go through.
	appendTimeout = 5 * time.Second

	// The most that may be on its way to the stream at once. JetStream turns
	// messages away above 10,000 or 128 MiB.
	windowEvents = 4096
	windowBytes  = 64 << 20

	// messageOverhead is what an event takes in the store besides its body, with
	// a common subject; bounds are reckoned with it.
	messageOverhead = 128
)

// A Pending is an append on its way.
type Pending struct {
	size  int       // what it counts in the window
	due   time.Time // before then it is not given up
	entry Entry     // for the tails; without a body when there was none to tell
	// Of the log's history when it was sent: the branch, and the newest sequence, which
	// the event must come after.
	branch, after uint64
	again         *nats.Msg // to send once more if need be; nil without an idempotency key

	done      chan struct{} // closed when the fields below are set
	cursor    event.Cursor
	duplicate bool
	err       error
}

// Duplicate reports whether the log had an event with the same idempotency key
// already. Wait's place is that event's, and this one was not taken. It may be
// called when Wait has returned.
func (p *Pending) Duplicate() bool { return p.duplicate }

// Wait waits for the log's answer and returns the event's place. It ends with
// ctx; and by itself, with an error that matches [ErrUnavailable], when the log
// has answered nothing for five seconds. The event may be in the log all the
// same. Wait may be called more than once, or never.
func (p *Pending) Wait(ctx context.Context) (event.Cursor, error) {
	select {
	case <-p.done:
		return p.cursor, p.err
	case <-ctx.Done():
		return event.Cursor{}, ctx.Err()
	}
}

// Append puts an event into the log and returns its place once the log has it.
// Body is ev.AppendBody's. An error matches [ErrUnavailable] unless it is ctx's
// or the event itself cannot stand.
func (l *Log) Append(ctx context.Context, ev *event.Event, body []byte) (event.Cursor, error) {
	if err := ctx.Err(); err != nil {
		return event.Cursor{}, err
	}
	p, err := l.out.send(ctx, ev, body)
	if err != nil {
		return event.Cursor{}, err
	}
	return p.Wait(ctx)
}

// AppendAsync puts an event on its way and returns before the log has it, so
// that many can be under way. Of two calls, the one that returned before the
// other began comes first in the log. When 4,096 events or 64 MiB are under way
// it waits for some to be answered. Body is the caller's again when it returns.
func (l *Log) AppendAsync(ev *event.Event, body []byte) (*Pending, error) {
	return l.out.send(context.Background(), ev, body)
}

// An appender publishes to the stream and matches JetStream's acks to what waits
// for them. The jetstream package can do that too, at twice the cost an event.
type appender struct {
	log    *Log   // constant
	inbox  string // constant; a message's number follows it
	expect []byte // constant; how an ack begins

	diagnosing atomic.Bool
	holding    atomic.Int64 // how many are held

	mu      sync.Mutex
	waiting map[uint64]*Pending // by number
	number  uint64              // of the newest message
	newest  uint64              // the highest number that was answered
	heard   time.Time           // when the last answer came
	bytes   int                 // of what is waiting
	room    chan struct{}       // closed when there is room; nil when nobody waits for it
	held    []heldAck           // answered, and to be named; in the order of the answers
	swept   bool                // a sweep is due
	broken  error               // the store failed; nothing will be taken
	closed  bool
}

func newAppender(l *Log) *appender {
	return &appender{
		log:     l,
		inbox:   nats.NewInbox() + ".",
		expect:  fmt.Appendf(nil, `{"stream":%q,"seq":`, streamName),
		waiting: make(map[uint64]*Pending),
	}
}

// listen begins to receive acks.
func (a *appender) listen() error {
	_, err := a.log.conn.Subscribe(a.inbox+"*", a.onAck)
	return err
}

func (a *appender) send(ctx context.Context, ev *event.Event, body []byte) (*Pending, error) {
	if len(body) > a.log.cfg.MaxEventBytes {
		return nil, fmt.Errorf("event log: the event has %d bytes; at most %d are taken", len(body), a.log.cfg.MaxEventBytes)
	}
	subject, header, err := address(ev)
	if err != nil {
		return nil, err
	}
	size := len(body) + messageOverhead
	if err := a.log.space.take(size); err != nil {
		return nil, err
	}
	number, p, err := a.enter(ctx, size, a.entry(ev, body))
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: subject, Reply: a.inbox + strconv.FormatUint(number, 10), Header: header, Data: body}
	if ev.IdempotencyKey != "" {
		a.keep(p, *msg)
	}
	a.publish(number, msg)
	return p, nil
}

// keep keeps a message with an idempotency key for as long as it is under way. Its
// body is the caller's, and so is copied.
func (a *appender) keep(p *Pending, msg nats.Msg) {
	msg.Data = bytes.Clone(msg.Data)
	a.mu.Lock()
	defer a.mu.Unlock()
	p.again = &msg
}

func (a *appender) publish(number uint64, msg *nats.Msg) {
	err := a.log.conn.PublishMsg(msg)
	switch {
	case err == nil:
		return
	case errors.Is(err, nats.ErrMaxPayload): // it always will be
		err = fmt.Errorf("%w: its %d bytes of JSON and what NATS keeps beside them are more than max_payload, the largest message of %s, which is %d bytes",
			event.ErrTooLarge, len(msg.Data), a.log.server, a.log.conn.MaxPayload())
	default:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(number, ack{}, err)
}

// errInProcess says that an event with the same idempotency key is on its way to a
// cluster's log, so that its place is not known yet.
var errInProcess = fmt.Errorf("%w: an event with the same idempotency key is under way", ErrUnavailable)

// inProcessPause is how long an event waits for another with its key.
const inProcessPause = 50 * time.Millisecond

// sendAgain sends a message once more in a while, and reports whether it will: the
// sweep gives it up in time.
func (a *appender) sendAgain(number uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.waiting[number]
	if !ok || p.again == nil {
		return false
	}
	msg := p.again
	time.AfterFunc(inProcessPause, func() { a.publish(number, msg) })
	return true
}

// entry returns what the tails are told of an event once the log has it. It has
// a body of its own: the caller's is the caller's again.
func (a *appender) entry(ev *event.Event, body []byte) Entry {
	if !a.log.feed.followed() {
		return Entry{}
	}
	published := ev.Timestamp
	if published.IsZero() {
		published = time.Now()
	}
	return Entry{Target: ev.Target, Key: ev.Key, Body: bytes.Clone(body), Published: published}
}

// enter waits until the window has room for size bytes and takes it.
func (a *appender) enter(ctx context.Context, size int, e Entry) (uint64, *Pending, error) {
	for {
		a.mu.Lock()
		room := a.room
		switch {
		case a.closed:
			a.mu.Unlock()
			return 0, nil, errClosed
		case a.broken != nil:
			err := a.broken
			a.mu.Unlock()
			return 0, nil, err
		case a.log.history.unsure.Load():
			a.mu.Unlock()
			return 0, nil, errUnsure
		case room == nil && a.fits(size):
			number, p := a.add(size, e)
			a.mu.Unlock()
			return number, p, nil
		case room == nil:
			a.room = make(chan struct{})
			room = a.room
		}
		a.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// fits is called with mu held. An event always fits into an empty window.
func (a *appender) fits(size int) bool {
	n := len(a.waiting)
	return n == 0 || n < windowEvents && a.bytes+size <= windowBytes
}

// add is called with mu held.
func (a *appender) add(size int, e Entry) (uint64, *Pending) {
	p := &Pending{size: size, due: time.Now().Add(appendTimeout), entry: e, done: make(chan struct{})}
	p.branch, p.after = a.log.Lineage().branch, a.log.history.last.load()
	a.number++
	a.waiting[a.number] = p
	a.bytes += size
	if !a.swept {
		a.swept = true
		time.AfterFunc(appendTimeout, a.sweep)
	}
	return a.number, p
}

// settle answers what waits under number, once, and returns what the tails are to
// be told of it. It is called with mu held.
func (a *appender) settle(number uint64, k ack, err error) (e Entry) {
	p, ok := a.waiting[number]
	if !ok {
		return Entry{} // given up before
	}
	e, p.entry, p.again = p.entry, Entry{}, nil // whoever holds p need not hold the body
	delete(a.waiting, number)
	a.bytes -= p.size
	if p.err = err; err == nil {
		p.cursor, p.duplicate = a.log.CursorOf(k.Seq), k.Duplicate
	}
	if p.duplicate { // what has this place is another body
		e = Entry{}
	}
	close(p.done)
	// Waiters are let in when a good part of the window is free and not for each
	// event, which would switch goroutines once an event.
	if a.room != nil && (a.closed || len(a.waiting) <= windowEvents/2 && a.bytes <= windowBytes/2) {
		close(a.room)
		a.room = nil
	}
	return e
}

// onAck runs on one goroutine of the connection's.
func (a *appender) onAck(m *nats.Msg) {
	number, err := strconv.ParseUint(m.Subject[len(a.inbox):], 10, 64)
	if err != nil {
		return // not a reply to us
	}
	k, err := a.readAck(m)
	if errors.Is(err, errInProcess) && a.sendAgain(number) {
		return
	}
	a.answered(number, k, err)
}

// answered settles what the log has answered. The tails come last, and so are
// the first to run: a gateway's event does not wait for the publisher's receipt.
func (a *appender) answered(number uint64, k ack, err error) {
	a.mu.Lock()
	a.newest, a.heard = max(a.newest, number), time.Now()
	if err == nil {
		if err = a.placed(number, k); errors.Is(err, errHeld) {
			a.mu.Unlock()
			return
		}
	}
	e := a.settle(number, k, err)
	a.mu.Unlock()
	if err == nil {
		e.Cursor = a.log.CursorOf(k.Seq)
		a.log.feed.push(e)
	}
}

// A heldAck is an answer whose event cannot be named yet: a marker that this node has not
// seen may stand before it.
type heldAck struct {
	number uint64
	ack    ack
}

var (
	// errHeld says that an answer is held.
	errHeld = errors.New("held")
	// errTurned says that the log went back, or may have, while an event was under way.
	errTurned = fmt.Errorf("%w: its history has changed; publish the event again", ErrUnavailable)
)

// placed notes where an event was put. Its error is errHeld when the event cannot be
// named yet. Mu is held.
func (a *appender) placed(number uint64, k ack) error {
	p, ok := a.waiting[number]
	if !ok {
		return nil
	}
	h := a.log.history
	switch {
	case p.branch != h.lineage().branch:
		return errTurned
	case h.shared && k.Seq <= p.after && !k.Duplicate: // the stream has gone back
		h.unsure.Store(true)
		a.log.checkSoon()
		return errTurned
	}
	h.last.advance(p.branch, k.Seq)
	if !h.shared || k.Seq <= h.known.load() {
		return nil
	}
	a.held = append(a.held, heldAck{number, k})
	a.holding.Add(1)
	if k.Seq <= h.known.load() { // just now, and release may not have seen it
		a.held = a.held[:len(a.held)-1]
		a.holding.Add(-1)
		return nil
	}
	if a.log.tails.Load() == 0 {
		a.log.checkSoon()
	}
	return errHeld
}

// release answers what was held and can be named now. It is called when a tail or a check
// has come further.
func (a *appender) release() {
	if a.holding.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known, n := a.log.history.known.load(), 0
	for ; n < len(a.held) && a.held[n].ack.Seq <= known; n++ {
		a.settle(a.held[n].number, a.held[n].ack, nil)
	}
	a.held = slices.Delete(a.held, 0, n)
	a.holding.Add(int64(-n))
}

// readAck returns the sequence that an ack tells. Nearly all are of one form,
// which is read without encoding/json.
func (a *appender) readAck(m *nats.Msg) (ack, error) {
	if rest, ok := bytes.CutPrefix(m.Data, a.expect); ok {
		digits, _ := bytes.CutSuffix(rest, []byte("}"))
		if seq, err := strconv.ParseUint(string(digits), 10, 64); err == nil {
			return ack{Seq: seq}, nil
		}
	}
	if len(m.Data) == 0 {
		a.log.checkSoon() // and make it again if it is gone
		return ack{}, fmt.Errorf("%w: no stream took the event%s", ErrUnavailable, a.log.server.because())
	}
	var answer struct {
		ack
		Error *struct {
			Description string                 `json:"description"`
			Code        server.ErrorIdentifier `json:"err_code"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return ack{}, fmt.Errorf("%w: an ack cannot be read: %w", ErrUnavailable, err)
	case answer.Error != nil && answer.Error.Code == server.JSStreamDuplicateMessageConflict:
		return ack{}, errInProcess
	case answer.Error != nil && (answer.Error.Code == server.JSStreamMessageExceedsMaximumErr || answer.Error.Code == server.JSStreamHeaderExceedsMaximumErr):
		return ack{}, fmt.Errorf("%w: %s; the stream %s has a max_msg_size, remove it", event.ErrTooLarge, answer.Error.Description, streamName)
	case answer.Error != nil:
		return ack{}, fmt.Errorf("%w: %s", ErrUnavailable, answer.Error.Description)
	case answer.Seq == 0:
		return ack{}, fmt.Errorf("%w: an ack names no sequence", ErrUnavailable)
	}
	return answer.ack, nil
}

// An ack is what the stream says of an event it has.
type ack struct {
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
}

// sweep gives up what is overdue. It runs appendTimeout after the first append,
// and again for as long as anything waits.
func (a *appender) sweep() {
	now := time.Now()
	a.mu.Lock()
	overdue, next := false, now.Add(appendTimeout)
	for number, p := range a.waiting {
		if due := a.due(number, p); due.After(now) {
			next = minTime(next, due)
			continue
		}
		overdue = true
		a.settle(number, ack{}, fmt.Errorf("%w: no answer in %v%s", ErrUnavailable, appendTimeout, a.log.server.because()))
	}
	a.swept = len(a.waiting) > 0
	if a.swept {
		time.AfterFunc(next.Sub(now), a.sweep)
	}
	a.mu.Unlock()
	if overdue {
		a.diagnose()
	}
}

// due returns when p is to be given up, as things stand: while there are answers
// it waits for its turn. Answers come nearly in the order of the numbers; one
// that a whole window has overtaken will get none. Mu is held.
func (a *appender) due(number uint64, p *Pending) time.Time {
	if stalled := a.heard.Add(appendTimeout); number+windowEvents > a.newest && stalled.After(p.due) {
		return stalled
	}
	return p.due
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// diagnose finds out whether the store has failed; if so, nothing more is taken.
// It may wait for as long as the disk hangs.
func (a *appender) diagnose() {
	if !a.diagnosing.CompareAndSwap(false, true) {
		return
	}
	defer a.diagnosing.Store(false)
	broken := a.log.server.health()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = broken
}

// failAll fails everything under way.
func (a *appender) failAll(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failWaiting(err)
}

// failWaiting is called with mu held.
func (a *appender) failWaiting(err error) {
	for number := range a.waiting {
		a.settle(number, ack{}, err)
	}
	a.held = nil
	a.holding.Store(0)
}

// failed returns the store's failure, if it has failed.
func (a *appender) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken
}

// drain takes nothing more and waits until everything under way is answered or
// given up.
func (a *appender) drain() {
	a.mu.Lock()
	a.closed = true
	if a.room != nil {
		close(a.room) // whoever waits for room leaves
		a.room = nil
	}
	under := make([]*Pending, 0, len(a.waiting))
	for _, p := range a.waiting {
		under = append(under, p)
	}
	a.mu.Unlock()
	for _, p := range under {
		<-p.done
	}
}
