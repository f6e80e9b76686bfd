// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// A Query selects retained events.
type Query struct {
	// GatewayID selects the events of one gateway, which is in Groups and, unless that is
	// empty, in OrganizationID; empty: all events.
	GatewayID      string
	Groups         []string
	OrganizationID string
	Type           string // empty for all
	// Wants leaves out the events for which it returns false; nil: none.
	Wants func(event.Target, event.Cursor) bool
	After uint64 // sequence
	Limit int    // of events
	Bytes int    // of the events' JSON, except for the last event; 0: no limit
}

// listFor bounds one call of List. After half of it, List returns what it has found.
const listFor = 5 * time.Second

// List returns the events that a query selects, the oldest first, and the position to continue
// from: that of the last event if the limit was reached, else that of the newest event read.
// More reports whether there can be other events after it. That is so also for a short or empty
// list, when such events are rare.
func (l *Log) List(ctx context.Context, q Query) (list []Entry, next event.Cursor, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, listFor)
	defer cancel()
	branch := l.Lineage().branch
	_, last, err := l.Bounds(ctx)
	if err == nil {
		err = l.history.awaitIDs(ctx, last)
	}
	if err != nil {
		return nil, event.Cursor{}, false, err
	}
	s := &listing{log: l, q: &q, at: q.After, enough: time.Now().Add(listFor / 2)}
	r := storage.Range{After: q.After, Subjects: q.subjects()}
	if err = l.stream.Pages(ctx, r, q.Limit, func(m storage.Message) bool { return s.add(ctx, m) }); err != nil {
		err = fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	// The consumer can be on a server that lags. What it did not have, the leader has.
	for upTo := s.at; err == nil && s.err == nil && !s.more && upTo < last && l.shared; {
		upTo, err = l.newest(ctx, r.Subjects, upTo, last, func(m storage.Message) bool { return s.add(ctx, m) })
	}
	if err == nil {
		err = cmp.Or(s.err, l.same(branch))
	}
	if err != nil {
		return nil, event.Cursor{}, false, err
	}
	if !s.more {
		s.at = max(s.at, last)
	}
	return s.list, l.CursorOf(s.at), s.more, nil
}

// A listing is one call of List.
type listing struct {
	log    *Log
	q      *Query
	enough time.Time // when it ends with what it has

	list  []Entry
	bytes int    // of their bodies
	at    uint64 // sequence of the last message
	more  bool   // it ended before the newest message
	err   error  // why a message could not get an id
}

// add adds a message if the query selects it, and reports whether to continue.
func (s *listing) add(ctx context.Context, m storage.Message) bool {
	if len(s.list) == s.q.Limit || s.q.Bytes > 0 && s.bytes >= s.q.Bytes || s.at > s.q.After && time.Now().After(s.enough) {
		s.more = true
		return false
	}
	if s.err = s.log.history.awaitIDs(ctx, m.Seq); s.err != nil {
		return false
	}
	s.at = m.Seq
	e, err := s.log.entry(&m)
	if err == nil && s.q.wants(&e) {
		s.list = append(s.list, e)
		s.bytes += len(e.Body)
	}
	return true
}

// maxNewest bounds the messages of a subject that newest holds at once.
const maxNewest = 16

// newest calls f with the messages of some subjects after a sequence, up to last, in order,
// until f returns false. It returns the sequence up to which there are no others: less than last
// if a subject has more than maxNewest. It asks the stream's leader: the consumer of a list can
// be on a server that does not have the newest messages yet, and so can end before them.
func (l *Log) newest(ctx context.Context, subjects []string, after, last uint64, f func(storage.Message) bool) (upTo uint64, err error) {
	if len(subjects) == 0 {
		subjects = []string{subjectPrefix + ">"}
	}
	upTo = last
	var found []storage.Message
	for _, subject := range subjects {
		for seq, n := after+1, 0; seq <= upTo; n++ {
			if n == maxNewest { // the later messages of other subjects wait too
				upTo = seq - 1
				break
			}
			m, err := l.stream.Next(ctx, seq, subject)
			if errors.Is(err, storage.ErrNoMessage) {
				break
			}
			if err != nil {
				return 0, fmt.Errorf("%w: read: %w", ErrUnavailable, err)
			}
			if m.Seq > upTo {
				break
			}
			found = append(found, m)
			seq = m.Seq + 1
		}
	}
	slices.SortFunc(found, func(a, b storage.Message) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, m := range found {
		if m.Seq > upTo || !f(m) {
			break
		}
	}
	return upTo, nil
}

// subjects returns those of the events that a query can select; nil: all.
func (q *Query) subjects() []string {
	if q.GatewayID == "" {
		return nil
	}
	list := []string{subjectPrefix + kindGateway + q.GatewayID, subjectPrefix + kindGateways, subjectPrefix + kindAll}
	for _, g := range q.Groups {
		list = append(list, subjectPrefix+kindGroup+g)
	}
	if q.OrganizationID != "" {
		list = append(list, subjectPrefix+kindOrganization+q.OrganizationID)
	}
	return list
}

// wants reports whether a query selects an event with one of its subjects. The subject of an
// event for several gateways does not contain their ids, so wants checks the target.
func (q *Query) wants(e *Entry) bool {
	if q.Wants != nil && !q.Wants(e.Target, e.Cursor) {
		return false
	}
	if q.Type != "" && event.ReadHead(e.Body).Type != q.Type {
		return false
	}
	return q.GatewayID == "" || len(e.Target.GatewayIDs) == 0 || slices.Contains(e.Target.GatewayIDs, q.GatewayID)
}
