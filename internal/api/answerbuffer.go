// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"os"
	"sync"
	"sync/atomic"
)

// bufferMemory is how many bytes of an answer wait in memory for a slow client.
// More goes to a temporary file.
const bufferMemory = 256 << 10

// An answerBuffer is a queue of bytes from one writing goroutine to one reading
// goroutine. It holds memoryLimit bytes in memory and the rest in a temporary
// file. The file is unlinked at once, so the system removes it also when the
// process dies.
type answerBuffer struct {
	// Constant after newAnswerBuffer.
	dir         string        // of the file; empty: [os.TempDir]
	fileBytes   *atomic.Int64 // bytes in files, of all buffers of the server
	memoryLimit int           // bytes held in memory
	fileLimit   int64         // bound on fileBytes

	mu         sync.Mutex
	changed    sync.Cond // signals any change of the fields below
	inMemory   []byte    // read before the file
	file       *os.File  // nil until it is needed
	readAt     int64     // file offset of the next read
	writtenTo  int64     // file offset of the next write; 0: the file is empty
	writerDone bool      // nothing more is written
	readerGone bool      // nothing more is read: writes are dropped
}

// newAnswerBuffer returns an empty buffer.
func newAnswerBuffer(dir string, total *atomic.Int64, limit int64) *answerBuffer {
	s := &answerBuffer{dir: dir, fileBytes: total, memoryLimit: bufferMemory, fileLimit: limit}
	s.changed.L = &s.mu
	return s
}

// write appends a copy of b. When there is no room, it calls full(true), waits
// for the reader, and calls full(false). It reports false if the reader is
// gone.
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

// tryAdd appends b if there is room. mu is held.
func (s *answerBuffer) tryAdd(b []byte) bool {
	// Order: as long as the file has bytes, new ones go after them into the
	// file. A single piece can exceed the memory limit, else it could never be
	// written.
	if s.writtenTo == 0 && (len(s.inMemory) == 0 || len(s.inMemory)+len(b) <= s.memoryLimit) {
		s.inMemory = append(s.inMemory, b...)
		return true
	}
	if s.file == nil && !s.open() {
		return false // without a file the memory is all there is
	}
	n := int64(len(b))
	if s.fileBytes.Add(n) > s.fileLimit {
		s.fileBytes.Add(-n)
		return false
	}
	if _, err := s.file.WriteAt(b, s.writtenTo); err != nil { // the disk may be full
		s.fileBytes.Add(-n)
		return false
	}
	s.writtenTo += n
	return true
}

// open creates the file, and reports whether that succeeded. mu is held.
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

// next returns what is to be read next, and waits until there is some. It is
// empty at the end. The error is the file's. The spool takes buf, which next
// returned before.
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
	// The memory is empty, so the file is next. Both nothing means the end.
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

// rewind empties the file after all of it was read. mu is held.
func (s *answerBuffer) rewind() error {
	s.fileBytes.Add(-s.writtenTo)
	s.readAt, s.writtenTo = 0, 0
	return s.file.Truncate(0)
}

// closeWrite marks the end: nothing more is written.
func (s *answerBuffer) closeWrite() { s.set(&s.writerDone) }

// closeRead tells the writer that nothing more is read.
func (s *answerBuffer) closeRead() { s.set(&s.readerGone) }

// set sets a flag and wakes both sides.
func (s *answerBuffer) set(flag *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*flag = true
	s.changed.Broadcast()
}

// release frees memory and file. Call it when neither side uses the buffer any
// more.
func (s *answerBuffer) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.fileBytes.Add(-s.writtenTo)
		_ = s.file.Close()
	}
	s.inMemory, s.file = nil, nil
}
