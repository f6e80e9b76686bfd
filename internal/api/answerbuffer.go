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
const bufferMemory = 256 << 10

// A spool is a queue of bytes from one goroutine that writes to one that reads: in
// memory, and beyond a bound in a file. The file has no name, so nothing is left of it
// when the process dies.
type answerBuffer struct {
	// Constant.
	dir         string        // of the file
	fileBytes   *atomic.Int64 // bytes in files, of all spools
	memoryLimit int           // bytes held in memory
	fileLimit   int64         // of total

	mu         sync.Mutex
	changed    sync.Cond // of what follows
	inMemory   []byte    // to be read before the file
	file       *os.File  // nil until it is needed
	readAt     int64     // offset in file of what is read next
	writtenTo  int64     // offset in file of what is written next
	writerDone bool      // nothing more is written
	readerGone bool      // nothing more is read: what is written is dropped
}

func newAnswerBuffer(dir string, total *atomic.Int64, limit int64) *answerBuffer {
	s := &answerBuffer{dir: dir, fileBytes: total, memoryLimit: bufferMemory, fileLimit: limit}
	s.changed.L = &s.mu
	return s
}

// write adds b, of which it keeps nothing. While there is no room it waits, having
// called full. It reports false when nobody will read it.
func (s *answerBuffer) write(b []byte, full func(bool)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := false
	for !s.readerGone && !s.tryAdd(b) {
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
	return !s.readerGone
}

// add adds b if there is room. Mu is held.
func (s *answerBuffer) tryAdd(b []byte) bool {
	if s.writtenTo == 0 && (len(s.inMemory) == 0 || len(s.inMemory)+len(b) <= s.memoryLimit) {
		s.inMemory = append(s.inMemory, b...)
		return true
	}
	if s.file == nil && !s.open() {
		return false // as when the memory's bound was all there is
	}
	n := int64(len(b))
	if s.fileBytes.Add(n) > s.fileLimit {
		s.fileBytes.Add(-n)
		return false
	}
	if _, err := s.file.WriteAt(b, s.writtenTo); err != nil { // the disk is full
		s.fileBytes.Add(-n)
		return false
	}
	s.writtenTo += n
	return true
}

// open makes the file, and reports whether it could. Mu is held.
func (s *answerBuffer) open() bool {
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
func (s *answerBuffer) next(buf []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.inMemory) == 0 && s.readAt == s.writtenTo && !s.writerDone && !s.readerGone {
		s.changed.Wait()
	}
	defer s.changed.Broadcast()
	if len(s.inMemory) > 0 {
		buf, s.inMemory = s.inMemory, buf[:0]
		return buf, nil
	}
	n := min(s.writtenTo-s.readAt, bufferMemory)
	if n == 0 {
		return nil, nil
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, bufferMemory)
	}
	buf = buf[:n]
	if _, err := s.file.ReadAt(buf, s.readAt); err != nil {
		return nil, err
	}
	if s.readAt += n; s.readAt == s.writtenTo {
		return buf, s.rewind()
	}
	return buf, nil
}

// rewind empties the file, of which everything is read. Mu is held.
func (s *answerBuffer) rewind() error {
	s.fileBytes.Add(-s.writtenTo)
	s.readAt, s.writtenTo = 0, 0
	return s.file.Truncate(0)
}

// end says that nothing more is written.
func (s *answerBuffer) closeWrite() { s.set(&s.writerDone) }

// abandon says that nothing more is read.
func (s *answerBuffer) closeRead() { s.set(&s.readerGone) }

func (s *answerBuffer) set(flag *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*flag = true
	s.changed.Broadcast()
}

// close lets go of everything, when all is written and nothing more is read.
func (s *answerBuffer) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.fileBytes.Add(-s.writtenTo)
		_ = s.file.Close()
	}
	s.inMemory, s.file = nil, nil
}
