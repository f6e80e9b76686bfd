// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of what is asked for at once when a stream is read by pages.
const (
	pullMessages = 256
	pullBytes    = 1 << 20
	// pullExpires is how long the server keeps a request that it cannot fulfil. It
	// happens only where messages have left the stream meanwhile.
	pullExpires = time.Second
)

// A pullRequest asks a consumer for messages, by JetStream's API. The library's
// FetchBytes would do, but makes room for a million messages each time it is called.
type pullRequest struct {
	Expires  time.Duration `json:"expires"`
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
}

// Statuses that end a pull, in the header of a message without data.
const (
	statusHeader   = "Status"
	statusTimeout  = "408"
	statusConflict = "409" // bytes or batch are used up, or what the description says
	statusNone     = "404"

	descriptionHeader = "Description"
)

// pull asks a consumer for up to batch messages, and up to bytes of them unless that is
// 0, and calls f with each until it returns false. It returns how many came; when none
// did, the first may be larger than bytes.
func (l *Log) pull(ctx context.Context, stream, consumer string, batch, bytes int, f func(*nats.Msg) bool) (n int, err error) {
	inbox := l.conn.NewInbox()
	sub, err := l.conn.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	request, err := json.Marshal(pullRequest{Expires: pullExpires, Batch: batch, MaxBytes: bytes})
	if err != nil {
		return 0, err
	}
	subject := apiPrefix(l.js.Options()) + "CONSUMER.MSG.NEXT." + stream + "." + consumer
	if err := l.conn.PublishRequest(subject, inbox, request); err != nil {
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

// statusError returns the error that a status is; nil for the end of what was asked for.
func statusError(status, description string) error {
	switch text := strings.ToLower(description); {
	case status == statusTimeout, status == statusNone:
		return nil
	case status == statusConflict && (strings.Contains(text, "maxbytes") || strings.Contains(text, "batch completed")):
		return nil
	}
	return fmt.Errorf("the server ended the request: %s %s", status, description)
}

// apiPrefix returns what subjects of JetStream's API begin with.
func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

// A pulled message is one of pull's as a [jetstream.Msg], of which it has what reading
// takes: subject, headers and data.
type pulled struct {
	jetstream.Msg
	m *nats.Msg
}

func (p pulled) Subject() string      { return p.m.Subject }
func (p pulled) Headers() nats.Header { return p.m.Header }
func (p pulled) Data() []byte         { return p.m.Data }

// metadata returns what a message's reply subject says of its place.
func metadata(m *nats.Msg) (*jetstream.MsgMetadata, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: meta.Sequence.Consumer, Stream: meta.Sequence.Stream},
		NumDelivered: meta.NumDelivered, NumPending: meta.NumPending, Timestamp: meta.Timestamp,
		Stream: meta.Stream, Consumer: meta.Consumer, Domain: meta.Domain,
	}, nil
}
