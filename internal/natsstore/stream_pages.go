// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// Bounds of one request for messages.
const (
	pullMessages = 256
	pullBytes    = 1 << 20
	// pullExpires is how long the server keeps a request that it cannot fulfil, which
	// happens only when messages have left the stream in the meantime.
	pullExpires = time.Second
)

// consumerConfig returns the consumer that reads a range. It is in memory, on one server, and
// without acknowledgements. If its deletion fails, the server deletes it after a minute.
func consumerConfig(r storage.Range) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.After + 1}
	if !r.From.IsZero() {
		cfg = jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &r.From}
	}
	if len(r.Subjects) == 1 {
		cfg.FilterSubject = r.Subjects[0]
	} else {
		cfg.FilterSubjects = r.Subjects
	}
	return transient(cfg)
}

// transient returns a consumer as one that is not worth keeping: the reader starts again at its
// own position.
func transient(cfg jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	cfg.AckPolicy = jetstream.AckNonePolicy
	cfg.MemoryStorage, cfg.Replicas = true, 1
	cfg.InactiveThreshold = time.Minute
	return cfg
}

// Pages implements [storage.Stream]. It asks for few messages first, because many callers want
// few, and then for up to four times as many each time. Left, the number of messages that remain,
// comes with each message. So no request waits for a message that does not exist, and the last
// request ends at once.
func (s *stream) Pages(ctx context.Context, r storage.Range, batch int, f func(storage.Message) bool) error {
	c, err := s.store.js.CreateConsumer(ctx, s.name, consumerConfig(r))
	if err != nil {
		return err
	}
	name := c.CachedInfo().Name
	defer func() { _ = s.store.js.DeleteConsumer(context.WithoutCancel(ctx), s.name, name) }()
	size := min(max(batch+1, 1), pullMessages)
	left, more := c.CachedInfo().NumPending, true
	var invalid error
	take := func(m *nats.Msg) bool {
		var msg storage.Message
		if msg, invalid = message(m); invalid != nil {
			return false
		}
		left = msg.Pending
		more = f(msg)
		return more
	}
	for bytes := pullBytes; left > 0 && more; {
		n, err := s.store.pull(ctx, s.name, name, int(min(uint64(size), left)), bytes, take)
		if err = errors.Join(err, invalid); err != nil {
			return err
		}
		switch {
		case n > 0:
			size, bytes = min(4*size, pullMessages), pullBytes
		case bytes > 0: // the next message is larger than that; ask for it alone
			size, bytes = 1, 0
		default: // the remaining messages have left the stream in the meantime
			info, err := c.Info(ctx)
			if err != nil {
				return err
			}
			left, bytes = info.NumPending, pullBytes
		}
	}
	return nil
}

// message converts what a consumer has delivered. The sequence, the time and the number of
// pending messages are in its reply subject.
func message(m *nats.Msg) (storage.Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return storage.Message{}, err
	}
	return storage.Message{
		Subject: m.Subject, Header: storage.Header(m.Header), Data: m.Data,
		Seq: meta.Sequence.Stream, Time: meta.Timestamp, Pending: meta.NumPending,
	}, nil
}

// A pullRequest asks a consumer for messages, by JetStream's API. The client library's
// FetchBytes does the same, but allocates room for a million messages in each call.
type pullRequest struct {
	Expires  time.Duration `json:"expires"`
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
}

// Statuses that end a pull, in the header of a message without data.
const (
	statusHeader   = "Status"
	statusTimeout  = "408"
	statusConflict = "409" // the bytes or the batch are used up, or see the description
	statusNone     = "404"

	descriptionHeader = "Description"
)

// pull asks a consumer for at most batch messages, and at most bytes of them unless that is 0.
// It calls f with each until f returns false, and returns how many came. When none came, the
// first can be larger than bytes.
func (s *Store) pull(ctx context.Context, stream, consumer string, batch, bytes int, f func(*nats.Msg) bool) (n int, err error) {
	inbox := s.conn.NewInbox()
	sub, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	request, err := json.Marshal(pullRequest{Expires: pullExpires, Batch: batch, MaxBytes: bytes})
	if err != nil {
		return 0, err
	}
	subject := apiPrefix(s.js.Options()) + "CONSUMER.MSG.NEXT." + stream + "." + consumer
	if err := s.conn.PublishRequest(subject, inbox, request); err != nil {
		return 0, err
	}
	for n < batch {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return n, err
		}
		if status := m.Header.Get(statusHeader); len(m.Data) == 0 && status != "" {
			return n, statusError(status, m.Header.Get(descriptionHeader))
		}
		n++
		if !f(m) {
			break
		}
	}
	return n, nil
}

// statusError returns the error that a status means; nil for the end of a request.
func statusError(status, description string) error {
	switch text := strings.ToLower(description); {
	case status == statusTimeout, status == statusNone:
		return nil
	case status == statusConflict && (strings.Contains(text, "maxbytes") || strings.Contains(text, "batch completed")):
		return nil
	}
	return fmt.Errorf("the server ended the request: %s %s", status, description)
}

// apiPrefix returns what the subjects of JetStream's API begin with.
func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}
