// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A CursorStore keeps the position of a gateway in the log: the id of the last event
// that it has handled. Run calls it from one goroutine.
type CursorStore interface {
	// Load returns the position that was saved last, empty for none.
	Load(ctx context.Context) (string, error)
	// Save keeps a position. It is called after each event.
	Save(ctx context.Context, position string) error
}

// A MemoryCursor is a CursorStore for as long as the process lives. The zero
// MemoryCursor is empty. It may be shared.
type MemoryCursor struct {
	mu       sync.Mutex
	position string
}

// Load implements [CursorStore].
func (m *MemoryCursor) Load(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.position, nil
}

// Save implements [CursorStore].
func (m *MemoryCursor) Save(_ context.Context, position string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.position = position
	return nil
}

// maxCursorFile is more than any position has, in bytes.
const maxCursorFile = 1024

// A FileCursor is a CursorStore in the file of that name. A file that is not there
// is an empty position. Each Save replaces the file, by one that is on disk; a power
// cut may bring the one before back. What is not a position is for the server to
// refuse, with a [Resync]; Load refuses only what no header can carry.
type FileCursor string

// Load implements [CursorStore].
func (f FileCursor) Load(context.Context) (string, error) {
	b, err := os.ReadFile(string(f))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("the position cannot be read: %w", err)
	}
	position := strings.TrimSpace(string(b))
	if len(b) > maxCursorFile || strings.ContainsFunc(position, notPrintable) {
		return "", fmt.Errorf("%s holds no position of a gateway; remove it to begin anew", string(f))
	}
	return position, nil
}

// Save implements [CursorStore].
func (f FileCursor) Save(_ context.Context, position string) error {
	if err := f.replace(position); err != nil {
		return fmt.Errorf("the position cannot be saved: %w", err)
	}
	return nil
}

// replace writes a new file and renames it, so that there is always a whole one.
func (f FileCursor) replace(position string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // it may be closed
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.WriteString(position + "\n"); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), string(f))
}
