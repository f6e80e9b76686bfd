// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package storage is what the event log needs from the system that stores its streams: a
// [Store] with named streams of messages, which give each message the next sequence. Package
// natsstore implements it with NATS JetStream. The event log knows nothing else of NATS.
//
// The errors of a Store are those below, where the event log acts on them. All others are for
// people. Only [Store.Check], [Store.Reserve], [Publisher] and [Bus] return errors that match
// [ErrUnavailable]. The caller of the other functions adds it.
package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrUnavailable is wrapped by every error that says that the log cannot be read or
	// written now: a full disk, a failed store, no answer in time, a closed log.
	ErrUnavailable = errors.New("event log unavailable")
	// ErrClosed says that the log or its store is closed.
	ErrClosed = fmt.Errorf("%w: it is closed", ErrUnavailable)
	// ErrDisconnected ends the contexts of [Store.Session] when the connection is lost.
	ErrDisconnected = fmt.Errorf("%w: the connection was lost", ErrUnavailable)
	// ErrInProgress is the answer to a message whose id another message has that the stream
	// has not stored yet.
	ErrInProgress = fmt.Errorf("%w: an event with the same idempotency key is in progress", ErrUnavailable)

	// ErrNoStream says that a stream does not exist.
	ErrNoStream = errors.New("no such stream")
	// ErrNoMessage says that a stream has no such message, or no longer has it.
	ErrNoMessage = errors.New("no such message")
	// ErrConflict says that a message was not stored because its [Expect] was not met.
	ErrConflict = errors.New("another message came first")
)

// Ended returns why a context has ended: ErrClosed or ErrDisconnected if that is its cause,
// else ctx.Err().
func Ended(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, ErrClosed) || errors.Is(err, ErrDisconnected) {
		return err
	}
	return ctx.Err()
}

// A Header holds the headers of a message. Names are case-sensitive.
type Header map[string][]string

// Get returns the first value of a header, or "" when there is none.
func (h Header) Get(name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// MessageOverhead is about what a message takes in a store besides its data, in bytes.
const MessageOverhead = 128

// An Outgoing is a message to be stored. Data is the caller's again when the call returns that
// it is given to. The store can add to Header.
type Outgoing struct {
	Subject string
	// ID is for deduplication: a stream stores a message with an ID once in two minutes.
	// Empty: it is always stored.
	ID     string
	Header Header
	Data   []byte
}

// A Message is a message of a stream. Header and Data must not be changed.
type Message struct {
	Subject string
	Header  Header
	Data    []byte
	Seq     uint64
	Time    time.Time // when the stream stored it
	// Pending is how many messages the reader has after this one. Only set by
	// [Stream.Pages], [Stream.Follow] and [Stream.Scan].
	Pending uint64
}

// An Ack says where a message was stored.
type Ack struct {
	Seq uint64
	// Duplicate says that the stream had a message with the same ID, at Seq.
	Duplicate bool
}

// A StreamConfig says what a stream keeps. Its name decides its subjects, see [Subjects].
type StreamConfig struct {
	Name        string
	Description string
	Retention   time.Duration // older messages are removed; zero: no limit
	Bytes       int64         // the oldest messages are removed beyond this size; zero: no limit
}

// An Info is the state of a stream.
type Info struct {
	Created time.Time
	// First and Last are sequences. First is Last+1 when the stream is empty.
	First, Last uint64
	LastTime    time.Time // when the newest message was stored
	Messages    uint64
	Bytes       uint64
	Replicated  bool // more than one server keeps the stream
	// Quorum is an error if fewer than half of the servers that keep the stream are online.
	// Then a new leader can have messages that Info does not show.
	Quorum error
}

// A Recovery is what a store knows of a stream from before this process. The zero Recovery
// is that of a store which does not know more than the stream itself.
type Recovery struct {
	// Generation is added to the time in milliseconds when the stream was made, for the
	// epoch of messages before the first marker. Versions before markers counted it up.
	Generation uint64
	// Repaired says that messages were removed to repair the store.
	Repaired bool
	// EndLost says that the newest messages can be lost, because the machine stopped.
	EndLost bool
	// Epoch is that of the newest marker that was recorded, and EpochSeq the sequence of the
	// marker; zero: none was.
	Epoch, EpochSeq uint64
}

// A Store stores streams. It is safe for concurrent use.
type Store interface {
	// String names the servers, without secrets.
	String() string
	// Shared reports whether other nodes use the same streams.
	Shared() bool
	// MaxEventBytes is the size of the largest event body that the store must take.
	MaxEventBytes() int

	// Connected reports whether there is a connection to the servers.
	Connected() bool
	// OnConnection has lost called when the connection is lost, and regained when there is
	// one again. It can be called once. The functions must not block.
	OnConnection(lost func(error), regained func())
	// Session waits for a connection. The context that it returns ends with ctx, and with
	// ErrDisconnected as its cause when the connection is lost.
	Session(ctx context.Context) (_ context.Context, cancel context.CancelFunc, err error)
	// Bus returns the messages between the nodes that share the store.
	Bus() Bus

	// OpenStream opens a stream, or makes it. Made reports that it was made.
	OpenStream(ctx context.Context, cfg StreamConfig) (s Stream, made bool, err error)
	// Publisher publishes messages, and calls acked with the answer to each, on one
	// goroutine. It does not call acked for messages that are not answered.
	Publisher(stream string, acked func(number uint64, a Ack, err error)) (Publisher, error)
	// Retry calls open until it succeeds, fails for good or too much time has passed. Each
	// call has so much time. A store that is not shared calls it once.
	Retry(ctx context.Context, each time.Duration, open func(context.Context) error) error

	// Reserve returns an error when the disk has no room for n more bytes.
	Reserve(n int) error
	// Check reports whether the stream of events can be read and written now.
	Check(ctx context.Context) error
	// Health reports whether the store has failed, without a request to it.
	Health() error
	// LastError returns what the server logged last, in parentheses and after a space, to
	// end an error with; or "".
	LastError() string

	// Recovery returns what is known of a stream from before this process.
	Recovery(stream string) Recovery
	// EpochBegan records that the marker of an epoch is in a stream, at a sequence.
	EpochBegan(stream string, epoch, seq uint64) error
	// Checkpoint records that the stream of events has a sequence, and what the other
	// streams have.
	Checkpoint(ctx context.Context, seq uint64) error
}

// A Publisher publishes messages to one stream without waiting for the answers.
type Publisher interface {
	// Publish sends a message. The number names it to the function that gets the answers.
	Publish(number uint64, m Outgoing) error
	// Listening returns an error if the servers did not allow the Publisher its subjects.
	Listening() error
}

// An Expect is a condition for storing a message. Nil: no condition.
type Expect struct {
	Last        *uint64 // the newest sequence of the stream
	LastSubject *uint64 // the newest sequence of the message's subject; zero: there is none
}

// A Range selects messages of a stream.
type Range struct {
	After    uint64    // sequence
	From     time.Time // used instead of After if it is not zero
	Subjects []string  // empty: all
}

// A Stream is an ordered sequence of messages. It is safe for concurrent use.
type Stream interface {
	Info(ctx context.Context) (Info, error)
	// Get returns the message with a sequence.
	Get(ctx context.Context, seq uint64) (Message, error)
	// Next returns the first message of a subject, which can have wildcards, from a
	// sequence on. It asks the stream's leader.
	Next(ctx context.Context, seq uint64, subject string) (Message, error)
	// Newest returns the newest message of a subject.
	Newest(ctx context.Context, subject string) (Message, error)

	// Put stores a message and returns its sequence.
	Put(ctx context.Context, m Outgoing, e Expect) (seq uint64, err error)
	// PutAll stores messages, all of them in flight at once, and calls stored with the
	// sequence of each. After an error some can be stored.
	PutAll(ctx context.Context, messages []Outgoing, stored func(seq uint64)) error
	// Purge removes all messages.
	Purge(ctx context.Context) error
	// PurgeSubject removes the messages of a subject before a sequence.
	PurgeSubject(ctx context.Context, subject string, before uint64) error
	// Delete deletes the stream.
	Delete(ctx context.Context) error

	// Pages calls f with the messages in a range until f returns false or the newest
	// message was read. It asks for about batch messages at first, and holds no more than
	// 1 MiB, or one message.
	Pages(ctx context.Context, r Range, batch int, f func(Message) bool) error
	// Follow calls begun with the number of messages in a range, and then f with each of
	// them and with those that come later. It ends at the first irregularity, so that the
	// caller notices it and starts again.
	Follow(ctx context.Context, r Range, begun func(pending uint64), f func(Message) error) error
	// Scan reads as fast as possible, and recovers from irregularities by itself.
	Scan(ctx context.Context, s Scan) error
}

// A Scan is a fast read of a stream in order.
type Scan struct {
	After uint64 // sequence
	// Messages and Bytes bound what is in flight.
	Messages, Bytes int
	// Pending is called with the number of messages there are. If it returns false, the
	// scan ends.
	Pending func(n uint64) bool
	// Begun is called before the first message is read.
	Begun func()
	// Message is called with each message, on a goroutine of the scan's. It is not called
	// when Scan has returned, except that the last call can still run.
	Message func(Message)
	// Recovered is called with each error that the scan recovers from.
	Recovered func(error)
	// Done ends the scan in order when it is closed. Abort ends it without a request to
	// the servers.
	Done, Abort <-chan struct{}
}

// A Bus carries messages between the nodes that share a store. They are not stored: a node
// that is not connected misses them. It is safe for concurrent use. Its errors match
// [ErrUnavailable].
type Bus interface {
	// Connected reports whether messages can be sent and received now.
	Connected() bool
	// MaxMessage returns the largest size of a message in bytes.
	MaxMessage() int
	// Publish sends a message to all subscribers.
	Publish(subject string, data []byte) error
	// Subscribe calls f with every message of a subject, in which * matches any token,
	// until stop is called; also with those of this node. F runs on a goroutine of the
	// subscription, and stop waits for it. If f returns an answer that is not nil, it is
	// sent to the sender of the message.
	Subscribe(subject string, f func(subject string, data []byte) (answer []byte)) (stop func(), err error)
	// Ask sends a message and calls f with every answer, until f returns true or ctx ends,
	// which is not an error. Without subscribers it returns at once.
	Ask(ctx context.Context, subject string, data []byte, f func(answer []byte) (enough bool)) error
}
