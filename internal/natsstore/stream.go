// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// duplicatesFor is how long a stream knows the id of a message.
const duplicatesFor = 2 * time.Minute

// A stream implements [storage.Stream].
type stream struct {
	store *Store
	name  string
	s     jetstream.Stream
}

// OpenStream implements [storage.Store]. Of a cluster's streams it changes only those that
// have gatecast's configuration already.
func (s *Store) OpenStream(ctx context.Context, c storage.StreamConfig) (_ storage.Stream, made bool, err error) {
	cfg := s.streamConfig(c)
	opened := &stream{store: s, name: c.Name}
	err = s.Retry(ctx, openTry, func(ctx context.Context) (err error) {
		// Each try reads the state again: another node can make the stream in the meantime.
		if cfg.Replicas, made, err = s.replicasOf(ctx, cfg.Name); err != nil {
			return err
		}
		if s.Shared() && !made {
			if there, err := s.js.Stream(ctx, cfg.Name); err == nil {
				if err := isOurs(there.CachedInfo().Config, cfg); err != nil {
					return err
				}
			}
		}
		opened.s, err = s.js.CreateOrUpdateStream(ctx, cfg)
		return needs(s.judge(err), cfg)
	})
	if err != nil {
		return nil, false, err
	}
	s.noteStream(opened.s.CachedInfo())
	return opened, made, nil
}

// streamConfig returns JetStream's configuration of a stream. Everything in it that a user
// cannot set must stay the same in all versions: isOurs compares it.
func (s *Store) streamConfig(c storage.StreamConfig) jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name:        c.Name,
		Description: c.Description,
		Subjects:    storage.Subjects(c.Name),
		Storage:     s.storageType(),
		Discard:     jetstream.DiscardOld,
		MaxAge:      c.Retention,
		MaxBytes:    -1,
		Duplicates:  duplicatesFor,
	}
	if c.Retention > 0 { // JetStream requires that it is not longer than MaxAge
		cfg.Duplicates = min(cfg.Duplicates, c.Retention)
	}
	if c.Bytes > 0 {
		cfg.MaxBytes = c.Bytes
	}
	return cfg
}

// storageType returns where the server keeps messages.
func (s *Store) storageType() jetstream.StorageType {
	if s.cfg.InMemory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// replicasOf returns how many servers must keep a stream, and whether it does not exist. That
// is never fewer than keep it now: a node can see fewer servers than there are.
func (s *Store) replicasOf(ctx context.Context, name string) (n int, missing bool, err error) {
	there, err := s.js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return s.replicas(), true, nil
	case err != nil:
		return 0, false, err
	}
	return max(s.replicas(), there.CachedInfo().Config.Replicas), false, nil
}

// replicas returns how many servers must keep a new stream.
func (s *Store) replicas() int {
	switch {
	case s.cfg.Replicas > 0:
		return s.cfg.Replicas
	case s.Shared() && len(s.conn.Servers()) >= 3:
		return 3
	}
	return 1
}

// silentFor is how long the leader of a stream can have no message from another server that
// keeps the stream, which sends one every second.
const silentFor = 5 * time.Second

// quorum returns an error if fewer than half of the servers that keep a stream are online. A
// leader that has lost the others answers requests for up to 20 seconds more.
func quorum(c *jetstream.ClusterInfo) error {
	if c == nil || len(c.Replicas) == 0 {
		return nil
	}
	there, of := 1, len(c.Replicas)+1 // with the leader
	for _, r := range c.Replicas {
		if !r.Offline && r.Active < silentFor {
			there++
		}
	}
	if 2*there <= of {
		return fmt.Errorf("%w: only %d of the %d servers that keep it are online; start the others", storage.ErrUnavailable, there, of)
	}
	return nil
}

// Info implements [storage.Stream].
func (s *stream) Info(ctx context.Context) (storage.Info, error) {
	info, err := s.s.Info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return storage.Info{}, fmt.Errorf("%w: %w", storage.ErrNoStream, err)
	}
	if err != nil {
		return storage.Info{}, err
	}
	// JetStream's first sequence of a stream that was always empty is 0.
	i := storage.Info{
		Created: info.Created, First: info.State.FirstSeq, Last: info.State.LastSeq, LastTime: info.State.LastTime,
		Messages: info.State.Msgs, Bytes: info.State.Bytes,
		Replicated: info.Cluster != nil && len(info.Cluster.Replicas) > 0, Quorum: quorum(info.Cluster),
	}
	if i.Messages == 0 {
		i.First = i.Last + 1
	}
	return i, nil
}

// Get implements [storage.Stream].
func (s *stream) Get(ctx context.Context, seq uint64) (storage.Message, error) {
	return rawMessage(s.s.GetMsg(ctx, seq))
}

// Next implements [storage.Stream].
func (s *stream) Next(ctx context.Context, seq uint64, subject string) (storage.Message, error) {
	return rawMessage(s.s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject)))
}

// Newest implements [storage.Stream].
func (s *stream) Newest(ctx context.Context, subject string) (storage.Message, error) {
	return rawMessage(s.s.GetLastMsgForSubject(ctx, subject))
}

// rawMessage converts the result of a request for one message.
func rawMessage(m *jetstream.RawStreamMsg, err error) (storage.Message, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return storage.Message{}, storage.ErrNoMessage
	}
	if err != nil {
		return storage.Message{}, err
	}
	return storage.Message{Subject: m.Subject, Header: storage.Header(m.Header), Data: m.Data, Seq: m.Sequence, Time: m.Time}, nil
}

// Put implements [storage.Stream].
func (s *stream) Put(ctx context.Context, m storage.Outgoing, e storage.Expect) (seq uint64, err error) {
	var options []jetstream.PublishOpt
	if e.Last != nil {
		options = append(options, jetstream.WithExpectLastSequence(*e.Last))
	}
	if e.LastSubject != nil {
		options = append(options, jetstream.WithExpectLastSequencePerSubject(*e.LastSubject))
	}
	msg := natsMsg(m)
	ack, err := s.store.js.PublishMsg(ctx, &msg, options...)
	if isConflict(err) {
		return 0, fmt.Errorf("%w: %w", storage.ErrConflict, err)
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// isConflict reports, for the two error codes of the two conditions, that a message was not stored because another one was first.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// PutAll implements [storage.Stream]. It waits for the acknowledgements in the order of the
// messages. A duplicate has the sequence of the message that was stored before.
func (s *stream) PutAll(ctx context.Context, messages []storage.Outgoing, stored func(seq uint64)) error {
	acks := make([]jetstream.PubAckFuture, 0, len(messages))
	for i := range messages {
		if err := s.store.Reserve(len(messages[i].Data) + storage.MessageOverhead); err != nil {
			return err
		}
		msg := natsMsg(messages[i])
		ack, err := s.store.js.PublishMsgAsync(&msg)
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	last := uint64(0)
	for _, ack := range acks {
		select {
		case a := <-ack.Ok():
			last = a.Sequence
			stored(last)
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.store.folder.Note(s.name, last)
	return nil
}

func (s *stream) Purge(ctx context.Context) error { return s.s.Purge(ctx) }

// PurgeSubject implements [storage.Stream].
func (s *stream) PurgeSubject(ctx context.Context, subject string, before uint64) error {
	if before <= 1 { // to JetStream zero means all of them
		return nil
	}
	return s.s.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before))
}

func (s *stream) Delete(ctx context.Context) error { return s.store.js.DeleteStream(ctx, s.name) }

// natsMsg returns a message to publish.
func natsMsg(m storage.Outgoing) nats.Msg {
	msg := nats.Msg{Subject: m.Subject, Header: nats.Header(m.Header), Data: m.Data}
	if m.ID != "" {
		if msg.Header == nil {
			msg.Header = make(nats.Header, 1)
		}
		msg.Header[nats.MsgIdHdr] = []string{m.ID}
	}
	return msg
}
