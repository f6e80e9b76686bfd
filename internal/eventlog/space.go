// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spaceReserve is what stays free on the disk. JetStream takes nothing more
	// once a write has failed, until it is started again, so that the log stops
	// short of a full disk and goes on by itself when there is room.
	spaceReserve = 16 << 20

	// How much may be appended, and how long, on the word of one look at the disk.
	spaceTrustBytes = 4 << 20
	spaceTrustFor   = time.Second
)

// A space keeps watch over the room on the log's disk. A nil space is endless.
type space struct {
	dir     string                                  // constant
	reserve int64                                   // constant
	free    func(dir string) (bytes int64, _ error) // constant
	now     func() time.Time                        // constant

	mu    sync.Mutex
	left  int64     // bytes that may go before the next look
	until time.Time // time of the next look
	full  error     // what the last look said
}

func newSpace(dir string, maxEvent int64) *space {
	return &space{dir: dir, reserve: spaceReserve + maxEvent, free: freeBytes, now: time.Now}
}

// take notes that n bytes are about to be written. An error matches
// [ErrUnavailable].
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

// check looks at the disk now.
func (s *space) check() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(s.now())
	return s.full
}

// look is called with mu held.
func (s *space) look(now time.Time) {
	free, err := s.free(s.dir)
	s.until, s.left = now.Add(spaceTrustFor), min(free-s.reserve, spaceTrustBytes)
	switch {
	case err != nil:
		s.left = -1 // look again next time
		s.full = fmt.Errorf("%w: look for free space in %s: %w", ErrUnavailable, s.dir, err)
	case s.left < 0:
		s.full = fmt.Errorf("%w: the disk of %s is full: %d bytes are free and %d must be; free some", ErrUnavailable, s.dir, free, s.reserve)
	default:
		s.full = nil
	}
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return 0, fmt.Errorf("%w; mount it writable", unix.EROFS)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
