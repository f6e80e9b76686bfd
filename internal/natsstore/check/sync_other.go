// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncFolder returns when everything in the folder is on disk. There is no syncfs here, so
// it syncs each file and each folder.
func syncFolder(dir string, _ *os.File) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return syncDir(path)
		case !d.Type().IsRegular():
			return nil
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0) // Windows does not sync a file that is open for reading
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
