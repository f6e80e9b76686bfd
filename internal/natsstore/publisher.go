// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// publishTimeout is how long a record of a journal waits for its answer.
const publishTimeout = 5 * time.Second

// A publisher publishes to a stream and reads JetStream's acknowledgements. The jetstream
// package can do that too, at twice the cost per message. It is safe for concurrent use, and has
// no state: the reply subject of a message contains its number.
type publisher struct {
	store  *Store
	stream string
	inbox  string // prefix of reply subjects; the number of a message follows it
	expect []byte // how an ack begins
	acked  func(number uint64, a storage.Ack, err error)
}

// Publisher implements [storage.Store].
func (s *Store) Publisher(stream string, acked func(number uint64, a storage.Ack, err error)) (storage.Publisher, error) {
	p := &publisher{store: s, stream: stream, inbox: nats.NewInbox() + ".", expect: fmt.Appendf(nil, `{"stream":%q,"seq":`, stream), acked: acked}
	if _, err := s.conn.Subscribe(p.inbox+"*", p.onAck); err != nil {
		return nil, err
	}
	return p, nil
}

// Listening implements [storage.Publisher].
func (p *publisher) Listening() error {
	if !p.store.Shared() {
		return nil
	}
	return p.store.allowed()
}

// Publish implements [storage.Publisher].
func (p *publisher) Publish(number uint64, m storage.Outgoing) error {
	msg := natsMsg(m)
	// The server sends its answer to this subject, and onAck reads the number from it.
	msg.Reply = p.inbox + strconv.FormatUint(number, 10)
	err := p.store.conn.PublishMsg(&msg)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload): // trying again does not help
		return fmt.Errorf("%w: its %d bytes of JSON and its headers are more than max_payload, the largest message of %s, which is %d bytes",
			event.ErrTooLarge, len(msg.Data), p.store, p.store.conn.MaxPayload())
	}
	return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
}

// onAck runs on one goroutine of the connection.
func (p *publisher) onAck(m *nats.Msg) {
	number, err := strconv.ParseUint(m.Subject[len(p.inbox):], 10, 64)
	if err != nil {
		return // not an answer to a message of ours
	}
	a, err := p.readAck(m.Data)
	p.acked(number, a, err)
}

// readAck reads an ack. Nearly all have one form, which is read without encoding/json. An empty
// message is the server's answer when no stream takes the subject. The error codes that callers
// must tell apart are converted:
//
//   - another message with the same id is not stored yet: [storage.ErrInProgress];
//   - the message or its headers are too large: [event.ErrTooLarge];
//   - there is no stream: [storage.ErrNoStream].
func (p *publisher) readAck(data []byte) (storage.Ack, error) {
	if rest, ok := bytes.CutPrefix(data, p.expect); ok {
		digits, _ := bytes.CutSuffix(rest, []byte("}"))
		if seq, err := strconv.ParseUint(string(digits), 10, 64); err == nil {
			return storage.Ack{Seq: seq}, nil
		}
	}
	if len(data) == 0 {
		return storage.Ack{}, fmt.Errorf("%w: %w%s", storage.ErrUnavailable, storage.ErrNoStream, p.store.LastError())
	}
	var answer struct {
		Seq       uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`
		Error     *struct {
			Description string                 `json:"description"`
			Code        server.ErrorIdentifier `json:"err_code"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(data, &answer); {
	case err != nil:
		return storage.Ack{}, fmt.Errorf("%w: an ack cannot be read: %w", storage.ErrUnavailable, err)
	case answer.Error != nil && answer.Error.Code == server.JSStreamDuplicateMessageConflict:
		return storage.Ack{}, storage.ErrInProgress
	case answer.Error != nil && (answer.Error.Code == server.JSStreamMessageExceedsMaximumErr || answer.Error.Code == server.JSStreamHeaderExceedsMaximumErr):
		return storage.Ack{}, fmt.Errorf("%w: %s; the stream %s has a max_msg_size, remove it", event.ErrTooLarge, answer.Error.Description, p.stream)
	case answer.Error != nil:
		return storage.Ack{}, fmt.Errorf("%w: %s", storage.ErrUnavailable, answer.Error.Description)
	case answer.Seq == 0:
		return storage.Ack{}, fmt.Errorf("%w: an ack has no sequence", storage.ErrUnavailable)
	}
	return storage.Ack{Seq: answer.Seq, Duplicate: answer.Duplicate}, nil
}
