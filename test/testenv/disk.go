// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import "testing"

// SmallDisk returns a folder on a file system of its own with the given size, as in
// 32m. It skips the test where none can be mounted: that needs Linux and root.
func SmallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := mountTmpfs(dir, size); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ReadOnly remounts a folder of [SmallDisk] read-only.
func ReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := remountReadOnly(dir); err != nil {
		t.Fatal(err)
	}
}

// ResizeDisk changes the size of a file system of [SmallDisk].
func ResizeDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := resizeTmpfs(dir, size); err != nil {
		t.Fatal(err)
	}
}
