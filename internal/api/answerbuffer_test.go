// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// readAll reads a buffer to its end.
func readAll(t *testing.T, s *answerBuffer) (all []byte) {
	t.Helper()
	for buf := []byte(nil); ; {
		var err error
		if buf, err = s.next(buf); err != nil {
			t.Fatal(err)
		}
		if len(buf) == 0 {
			return all
		}
		all = append(all, buf...)
	}
}

// Everything that is written is read in the same order, from memory and from the file, and no
// file is left.
func TestAnswerBuffer(t *testing.T) {
	for name, c := range map[string]struct {
		dir   string
		limit int64
	}{
		"a file":            {t.TempDir(), 1 << 30},
		"little of a file":  {t.TempDir(), 3000},
		"no room for files": {t.TempDir() + "/none", 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			var total atomic.Int64
			s := newAnswerBuffer(c.dir, &total, c.limit)
			s.memoryLimit = 1000
			var want []byte
			var wg sync.WaitGroup
			wg.Go(func() {
				defer s.closeWrite()
				for i := range 2000 {
					piece := bytes.Repeat([]byte{byte(i)}, rand.IntN(700))
					want = append(want, piece...)
					if !s.write(piece, func(bool) {}) {
						t.Error("write reports that the reader is gone")
					}
				}
			})
			got := readAll(t, s)
			wg.Wait()
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes were read, want %d", len(got), len(want))
			}
			s.release()
			if n := total.Load(); n != 0 {
				t.Errorf("%d bytes still count", n)
			}
			if files, _ := os.ReadDir(c.dir); len(files) > 0 {
				t.Errorf("%v is left", files)
			}
		})
	}
}

// A writer waits while the buffer is full, and stops waiting when the reader is gone.
func TestAnswerBufferReaderGone(t *testing.T) {
	var total atomic.Int64
	s := newAnswerBuffer(t.TempDir(), &total, 10_000)
	s.memoryLimit = 1000
	full := make(chan struct{})
	written := make(chan bool, 1)
	go func() {
		ok := true
		for ok {
			ok = s.write(make([]byte, 500), func(on bool) {
				if on {
					close(full)
				}
			})
		}
		written <- ok
	}()
	<-full
	s.closeRead()
	<-written
	s.release()
	if n := total.Load(); n != 0 {
		t.Errorf("%d bytes still count", n)
	}
}
