// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"log/slog"
	"sync"
	"time"
)

// A Source says where something was found that is not gatecast's.
type Source string

// The sources of [Config.OnForeign].
const (
	SourceEvents   Source = "events"   // the stream of events
	SourceJournal  Source = "journal"  // the stream of a journal
	SourceRegistry Source = "registry" // the registry's bucket
	SourceBus      Source = "bus"      // the messages between nodes
)

// foreignEvery is how often a source's foreign messages are logged.
const foreignEvery = time.Minute

// A foreignLog counts and logs messages that are not gatecast's: the first of a source
// at once, and then how many more there were, once a minute.
type foreignLog struct {
	logger *slog.Logger
	count  func(Source)
	every  time.Duration

	mu      sync.Mutex
	sources map[string]*foreignSource
	closed  bool
}

// A foreignSource is what a foreignLog knows of a source.
type foreignSource struct {
	more  int         // since the last line
	what  string      // the last of them
	err   error       // why it is not ours
	timer *time.Timer // logs them; nil when nothing was logged lately
}

func newForeignLog(logger *slog.Logger, count func(Source)) *foreignLog {
	return &foreignLog{logger: logger, count: count, every: foreignEvery, sources: make(map[string]*foreignSource)}
}

// found notes a message of a source, and what to call it. Name is the source's in the
// program's log.
func (f *foreignLog) found(source Source, name, what string, err error) {
	f.count(source)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[name]
	if s == nil {
		s = new(foreignSource)
		f.sources[name] = s
	}
	s.more++
	s.what, s.err = what, err
	if s.timer == nil && !f.closed {
		f.write(name, s)
		s.timer = time.AfterFunc(f.every, func() { f.again(name, s) })
	}
}

// again runs when a source's last line is old enough.
func (f *foreignLog) again(name string, s *foreignSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.timer = nil
	if s.more == 0 || f.closed {
		return
	}
	f.write(name, s)
	s.timer = time.AfterFunc(f.every, func() { f.again(name, s) })
}

// write is called with mu held.
func (f *foreignLog) write(name string, s *foreignSource) {
	f.logger.Warn("messages that are not gatecast's were skipped; find out who writes to its subjects",
		"source", name, "messages", s.more, "last", s.what, "error", s.err)
	s.more = 0
}

func (f *foreignLog) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, s := range f.sources {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
}

// Foreign notes a message of the bus or the registry that is not gatecast's, by its
// subject or key. It is counted, and logged once a minute.
func (l *Log) Foreign(source Source, what string, err error) {
	l.foreign.found(source, string(source), what, err)
}
