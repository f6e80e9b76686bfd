// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"log/slog"
	"sync"
	"time"
)

// A Source says where a message was found that gatecast did not write.
type Source string

// The sources of [Config.OnSkipped].
const (
	SourceEvents   Source = "events"   // the stream of events
	SourceJournal  Source = "journal"  // the stream of a journal
	SourceRegistry Source = "registry" // the registry's bucket
	SourceBus      Source = "bus"      // the messages between nodes
)

// skipLogEvery is the interval at which the skipped messages of a source are logged.
const skipLogEvery = time.Minute

// A skipLog counts and logs messages that gatecast did not write and that are skipped: the
// first one of a source at once, and then once a minute how many more there were. It is safe
// for concurrent use.
type skipLog struct {
	logger *slog.Logger
	count  func(Source)
	every  time.Duration

	mu      sync.Mutex
	sources map[string]*skipSource
	closed  bool
}

// A skipSource is the state of one source.
type skipSource struct {
	more  int         // since the last line
	what  string      // the last of them
	err   error       // why it was skipped
	timer *time.Timer // writes the next line; nil when no line was written lately
}

func newSkipLog(logger *slog.Logger, count func(Source)) *skipLog {
	return &skipLog{logger: logger, count: count, every: skipLogEvery, sources: make(map[string]*skipSource)}
}

// add records a skipped message. Name is that of the source in the program's log, and what
// identifies the message.
func (k *skipLog) add(source Source, name, what string, err error) {
	k.count(source)
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sources[name]
	if s == nil {
		s = new(skipSource)
		k.sources[name] = s
	}
	s.more++
	s.what, s.err = what, err
	if s.timer == nil && !k.closed {
		k.write(name, s)
	}
}

// write writes a line, and schedules the next. Mu is held.
func (k *skipLog) write(name string, s *skipSource) {
	k.logger.Warn("event log: skipped messages that gatecast did not write; find out who writes to its subjects",
		"source", name, "messages", s.more, "last", s.what, "error", s.err)
	s.more = 0
	s.timer = time.AfterFunc(k.every, func() { k.writeAgain(name, s) })
}

// writeAgain writes the next line of a source, if there is anything to report.
func (k *skipLog) writeAgain(name string, s *skipSource) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.timer = nil
	if s.more > 0 && !k.closed {
		k.write(name, s)
	}
}

// close stops the timers. Nothing is logged after it.
func (k *skipLog) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for _, s := range k.sources {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
}

// Skipped reports a message of the bus or the registry that gatecast did not write. What is
// its subject or key. It is counted, and logged once a minute.
func (l *Log) Skipped(source Source, what string, err error) {
	l.skipped.add(source, string(source), what, err)
}
