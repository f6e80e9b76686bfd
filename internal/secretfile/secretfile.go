// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package secretfile says who may use a file that holds a secret, and reads one. One
// rule holds for all of them: others than its owner and its group may neither read nor write
// it, the group never writes it, and reads it only if root owns the file. That is how
// Kubernetes mounts a Secret for a pod with fsGroup (root:GID, mode 0440), and how
// Debian keeps keys (root:ssl-cert, mode 0640).
package secretfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Check returns who may use a file and should not, nil if nobody. The info must be
// of the file itself, not of a symbolic link to it.
func Check(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	uid, known := owner(info)
	switch {
	case !known: // not a system with modes
		return nil
	case mode&0o006 != 0:
		return fmt.Errorf("every user of the machine may use it (mode %04o); run chmod 600 on it", mode)
	case mode&0o020 != 0:
		return fmt.Errorf("its group may write it (mode %04o); run chmod 600 on it", mode)
	case mode&0o040 != 0 && uid != 0:
		return fmt.Errorf("its group may read it (mode %04o), and user %d owns it; run chmod 600 on it, or have root own it", mode, uid)
	}
	return nil
}

// Read reads a file of at most so many bytes whose mode [Check] accepts. Symbolic
// links are followed, as those of a Secret's volume.
func Read(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path) // first, because opening a named pipe may never end
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()      // it was only read
	if info, err = f.Stat(); err != nil { // of what was opened: the path may name another by now
		return nil, err
	}
	if err := Check(info); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, fmt.Errorf("%s has %d bytes; want %d at most", path, info.Size(), most)
	}
	return b, err
}
