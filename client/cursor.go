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

// A CursorStore stores the position of a reader: for [Run], the id of the last event that the
// gateway has handled. It is called from one goroutine.
type CursorStore interface {
	// Load returns the position saved last, or "" if there is none.
	Load(ctx context.Context) (string, error)
	// Save stores a position. Run calls it after each event, before the event is acked.
	Save(ctx context.Context, position string) error
}

// A MemoryCursor is a CursorStore in memory. The zero MemoryCursor is empty. Goroutines can share
// it.
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

// maxCursorFile is larger than any position, in bytes.
const maxCursorFile = 1024

// A FileCursor is a CursorStore in the file with this name. A missing file means no position. Each
// Save writes a new file, syncs it to disk and renames it; after a power failure the previous
// position can be back. Load accepts any text that a header can carry: the server answers an
// unknown position with a [Resync].
type FileCursor string

// Load implements [CursorStore].
func (f FileCursor) Load(context.Context) (string, error) {
	b, err := os.ReadFile(string(f))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot read the position: %w", err)
	}
	position := strings.TrimSpace(string(b))
	if len(b) > maxCursorFile || strings.ContainsFunc(position, notPrintable) {
		return "", fmt.Errorf("%s does not contain a position: remove the file to start without one", string(f))
	}
	return position, nil
}

// Save implements [CursorStore].
func (f FileCursor) Save(_ context.Context, position string) error {
	if err := f.replace(position); err != nil {
		return fmt.Errorf("cannot save the position: %w", err)
	}
	return nil
}

// replace writes a new file and renames it, so that the file is complete at any time.
func (f FileCursor) replace(position string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // it may be closed already
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
