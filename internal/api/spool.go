// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"os"
	"sync"
	"sync/atomic"
)

// spoolMemory is what an answer that a client does not read yet holds in memory, in
// bytes; what is more goes to a temporary file.
const spoolMemory = 256 << 10

// A spool is a queue of bytes from one goroutine that writes to one that reads: in
// memory, and beyond a bound in a file. The file has no name, so nothing is left of it
// when the process dies.
type spool struct {
	// Constant.
	dir    string        // of the file
	total  *atomic.Int64 // bytes in files, of all spools
	memory int           // bytes held in memory
	limit  int64         // of total

	mu      sync.Mutex
	changed sync.Cond // of what follows
	head    []byte    // to be read before the file
	file    *os.File  // nil until it is needed
	read    int64     // offset in file of what is read next
	wrote   int64     // offset in file of what is written next
	ended   bool      // nothing more is written
	broken  bool      // nothing more is read: what is written is dropped
}

func newSpool(dir string, total *atomic.Int64, limit int64) *spool {
	s := &spool{dir: dir, total: total, memory: spoolMemory, limit: limit}
	s.changed.L = &s.mu
	return s
}

// write adds b, of which it keeps nothing. While there is no room it waits, having
// called full. It reports false when nobody will read it.
func (s *spool) write(b []byte, full func(bool)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := false
	for !s.broken && !s.add(b) {
		if !waited {
			waited = true
			full(true)
		}
		s.changed.Wait()
	}
	if waited {
		full(false)
	}
	s.changed.Broadcast()
	return !s.broken
}

// add adds b if there is room. Mu is held.
func (s *spool) add(b []byte) bool {
	if s.wrote == 0 && (len(s.head) == 0 || len(s.head)+len(b) <= s.memory) {
		s.head = append(s.head, b...)
		return true
	}
	if s.file == nil && !s.open() {
		return false // as when the memory's bound was all there is
	}
	n := int64(len(b))
	if s.total.Add(n) > s.limit {
		s.total.Add(-n)
		return false
	}
	if _, err := s.file.WriteAt(b, s.wrote); err != nil { // the disk is full
		s.total.Add(-n)
		return false
	}
	s.wrote += n
	return true
}

// open makes the file, and reports whether it could. Mu is held.
func (s *spool) open() bool {
	f, err := os.CreateTemp(s.dir, ".answers-*")
	if err != nil {
		return false
	}
	if os.Remove(f.Name()) != nil {
		_ = f.Close()
		return false
	}
	s.file = f
	return true
}

// next returns what is to be read next, and waits until there is some. It is empty at
// the end. The error is the file's. The spool takes buf, which next returned before.
func (s *spool) next(buf []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.head) == 0 && s.read == s.wrote && !s.ended && !s.broken {
		s.changed.Wait()
	}
	defer s.changed.Broadcast()
	if len(s.head) > 0 {
		buf, s.head = s.head, buf[:0]
		return buf, nil
	}
	n := min(s.wrote-s.read, spoolMemory)
	if n == 0 {
		return nil, nil
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, spoolMemory)
	}
	buf = buf[:n]
	if _, err := s.file.ReadAt(buf, s.read); err != nil {
		return nil, err
	}
	if s.read += n; s.read == s.wrote {
		return buf, s.rewind()
	}
	return buf, nil
}

// rewind empties the file, of which everything is read. Mu is held.
func (s *spool) rewind() error {
	s.total.Add(-s.wrote)
	s.read, s.wrote = 0, 0
	return s.file.Truncate(0)
}

// end says that nothing more is written.
func (s *spool) end() { s.set(&s.ended) }

// abandon says that nothing more is read.
func (s *spool) abandon() { s.set(&s.broken) }

func (s *spool) set(flag *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*flag = true
	s.changed.Broadcast()
}

// close lets go of everything, when all is written and nothing more is read.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.total.Add(-s.wrote)
		_ = s.file.Close()
	}
	s.head, s.file = nil, nil
}
