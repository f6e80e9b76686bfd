// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package secretfile reads files with secrets, and checks their modes. Only the owner can
// write such a file. Only the owner can read it, and its group if root owns the file.
// Kubernetes mounts a Secret this way for a pod with fsGroup (root:GID, mode 0440), and
// Debian keeps keys this way (root:ssl-cert, mode 0640).
package secretfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Check returns an error when a user can read or write a file who must not. info is of the
// file itself, not of a symbolic link. On systems without file modes it returns nil.
func Check(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	uid, known := owner(info)
	switch {
	case !known:
		return nil
	case mode&0o006 != 0:
		return fmt.Errorf("every user of the machine can use it (mode %04o); run chmod 600 on it", mode)
	case mode&0o020 != 0:
		return fmt.Errorf("its group can write it (mode %04o); run chmod 600 on it", mode)
	case mode&0o040 != 0 && uid != 0:
		return fmt.Errorf("its group can read it (mode %04o), and user %d owns it; run chmod 600 on it, or make root its owner", mode, uid)
	}
	return nil
}

// Read reads a file of at most most bytes whose mode [Check] accepts. It follows symbolic
// links, which the volume of a Kubernetes Secret has. Without the file the error matches
// [fs.ErrNotExist].
func Read(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path) // before Open, which can block for ever on a named pipe
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
	defer func() { _ = f.Close() }()      // only read from
	if info, err = f.Stat(); err != nil { // again, of the opened file: the path can be another file by now
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
