// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A remedyError is an answer of the servers that does not change by waiting, with what to do
// about it.
type remedyError struct {
	err    error
	remedy string
	wait   time.Duration // the error can go away by itself for so long
}

func (e *remedyError) Error() string { return e.err.Error() + "; " + e.remedy }
func (e *remedyError) Unwrap() error { return e.err }

// remedies says what to do about errors of JetStream's API, by their code.
var remedies = map[jetstream.ErrorCode]string{
	jetstream.ErrorCode(server.JSNotEnabledForAccountErr):       "enable JetStream for the account that gatecast connects with",
	jetstream.ErrorCode(server.JSNoLimitsErr):                   "give the account that gatecast connects with limits for this number of replicas",
	jetstream.ErrorCode(server.JSMaximumStreamsLimitErr):        "gatecast needs 5 streams; raise the account's limit (max_streams), or delete streams that are not needed",
	jetstream.ErrorCode(server.JSMaximumConsumersLimitErr):      "gatecast needs some consumers for each node; raise the account's limit (max_consumers)",
	jetstream.ErrorCode(server.JSStreamMaxBytesRequired):        "the account requires a limit of bytes for each stream (max_bytes_required), and the registry has none; turn that off, and set --retention-bytes",
	jetstream.ErrorCode(server.JSStreamMaxStreamBytesExceeded):  "lower --retention-bytes, or raise the account's largest stream (max_stream_bytes)",
	jetstream.ErrorCode(server.JSInsufficientResourcesErr):      "lower --retention-bytes, or give JetStream more room (max_file_store)",
	jetstream.ErrorCode(server.JSStorageResourcesExceededErr):   "lower --retention-bytes, or give JetStream more room (max_file_store)",
	jetstream.ErrorCode(server.JSMemoryResourcesExceededErr):    "lower --retention-bytes, or give JetStream more memory (max_memory_store)",
	jetstream.ErrorCode(server.JSAccountResourcesExceededErr):   "lower --retention-bytes, or give the account more room (max_file)",
	jetstream.ErrorCode(server.JSStreamSubjectOverlapErr):       "another stream takes the same subjects; delete it, or use another account for gatecast",
	jetstream.ErrorCode(server.JSStreamReplicasNotSupportedErr): "set --log-replicas 1, or run the NATS servers as a cluster",
	jetstream.ErrorCode(server.JSStreamNameExistErr):            "a stream of this name exists with another configuration; delete it, or use another account for gatecast",
	jetstream.ErrorCode(server.JSStreamInvalidConfigF):          "a stream of this name exists with another configuration, or the servers do not allow this one; delete it, or use another account for gatecast",
}

const (
	remedyReplicas  = "set --log-replicas to no more than the servers that have room, or start the others"
	remedyRights    = `allow the user of gatecast to publish and subscribe to "gatecast.>", "$JS.API.>", "$KV.gatecast_registry.>" and "_INBOX.>"`
	remedyJetStream = "enable JetStream on the NATS servers"
)

// judge adds to an error of JetStream's API what to do about it, if the error does not go
// away by itself.
func (s *Store) judge(err error) error {
	if judged := (*remedyError)(nil); err == nil || !s.Shared() || errors.As(err, &judged) {
		return err
	}
	if denied := s.denied.Swap(nil); denied != nil {
		return &remedyError{fmt.Errorf("%w: %s", err, *denied), remedyRights, 0}
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return &remedyError{fmt.Errorf("no server answers for JetStream: %w", err), remedyJetStream, absentFor}
	}
	var api jetstream.JetStreamError
	if !errors.As(err, &api) || api.APIError() == nil {
		return err
	}
	code := api.APIError().ErrorCode
	switch remedy, ok := remedies[code]; {
	case ok:
		return &remedyError{err, remedy, 0}
	case code == jetstream.ErrorCode(server.JSClusterNoPeersErrF):
		return &remedyError{err, remedyReplicas, OpenPatience} // servers can still start
	}
	return err
}

// absentFor is how long JetStream can be missing: a server that starts answers other requests
// before.
const absentFor = 5 * time.Second

// needs adds to an error with a remedy how much room a stream needs. JetStream reserves MaxBytes
// when a stream is made, on each of its servers, and does not say how much that is.
func needs(err error, cfg jetstream.StreamConfig) error {
	e := (*remedyError)(nil)
	if !errors.As(err, &e) || cfg.MaxBytes <= 0 {
		return err
	}
	return &remedyError{fmt.Errorf("%w: the stream %s needs %d bytes, on each of %d servers", e.err, cfg.Name, cfg.MaxBytes, max(cfg.Replicas, 1)), e.remedy, e.wait}
}

// isOurs returns an error if an existing stream has another configuration than gatecast's,
// which is cfg. Updating it could break the program that made it.
func isOurs(have, cfg jetstream.StreamConfig) error {
	var why string
	switch {
	case !slices.Equal(have.Subjects, cfg.Subjects):
		why = fmt.Sprintf("its subjects are %s, want %s", strings.Join(have.Subjects, ", "), strings.Join(cfg.Subjects, ", "))
	case have.Storage != cfg.Storage:
		why = fmt.Sprintf("its storage is %v, want %v", have.Storage, cfg.Storage)
	case have.Retention != cfg.Retention:
		why = fmt.Sprintf("its retention policy is %v, want %v", have.Retention, cfg.Retention)
	case have.Mirror != nil || len(have.Sources) > 0:
		why = "it is a mirror, or has sources"
	case have.SubjectTransform != nil:
		why = "it changes subjects"
	case have.Sealed:
		why = "it is sealed"
	case have.NoAck:
		why = "it does not acknowledge messages"
	default:
		return nil
	}
	return &remedyError{
		fmt.Errorf("the stream %s exists with another configuration: %s", cfg.Name, why),
		"it can belong to another program; change it, delete it, or use another account for gatecast", 0,
	}
}

// A client learns of a denied subject only by an asynchronous error; the request that needed the
// subject runs into its timeout. So noteDenied keeps what the servers did not allow, for the error of the call that waits for
// an answer.
func (s *Store) noteDenied(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		text := err.Error()
		s.denied.Store(&text)
	}
}

// allowed returns an error if the servers have not allowed something so far.
func (s *Store) allowed() error {
	if err := s.conn.FlushTimeout(openTry); err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	if err := s.conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("event log: %s: %w; %s", s, err, remedyRights)
	}
	return nil
}

// isFinal reports whether trying again does not help against an error that was first met
// at began.
func isFinal(ctx context.Context, err error, began time.Time) bool {
	patience := OpenPatience
	if e := (*remedyError)(nil); errors.As(err, &e) {
		patience = e.wait
	}
	return ctx.Err() != nil || time.Since(began) >= patience
}
