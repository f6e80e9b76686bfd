// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"fmt"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

const (
	// spaceReserve is how many bytes stay free on the disk. JetStream takes no more
	// writes after a failed one, until it is restarted. So the log stops before the disk
	// is full, and continues by itself when there is room.
	spaceReserve = 16 << 20

	// How much can be written, and for how long, after one check of the disk.
	spaceTrustBytes = 4 << 20
	spaceTrustFor   = time.Second
)

// A space watches the free space on the disk of a folder. A nil space has no limit. It is
// safe for concurrent use.
type space struct {
	dir     string                                  // constant
	reserve int64                                   // constant
	free    func(dir string) (bytes int64, _ error) // constant
	now     func() time.Time                        // constant

	mu    sync.Mutex
	left  int64     // bytes that can be written before the next check
	until time.Time // time of the next check
	full  error     // result of the last check
}

// newSpace returns a space that checks the disk at the first take. The reserve includes one
// event of the largest size, which can be in flight already.
func newSpace(dir string, maxEvent int64) *space {
	return &space{dir: dir, reserve: spaceReserve + maxEvent, free: freeBytes, now: time.Now}
}

// take records that n bytes are about to be written.
func (s *space) take(n int) error {
	if s == nil {
		return nil
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left -= int64(n)
	if s.left < 0 || !now.Before(s.until) {
		s.look(now)
		s.left -= int64(n)
	}
	return s.full
}

// check checks the disk now.
func (s *space) check() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(s.now())
	return s.full
}

// look checks the disk. Mu is held.
func (s *space) look(now time.Time) {
	free, err := s.free(s.dir)
	s.until, s.left = now.Add(spaceTrustFor), min(free-s.reserve, spaceTrustBytes)
	switch {
	case err != nil:
		s.left = -1 // check again next time
		s.full = fmt.Errorf("%w: check the free space in %s: %w", storage.ErrUnavailable, s.dir, err)
	case s.left < 0:
		s.full = fmt.Errorf("%w: the disk of %s is full: %d bytes are free and at least %d must be; free some", storage.ErrUnavailable, s.dir, free, s.reserve)
	default:
		s.full = nil
	}
}
