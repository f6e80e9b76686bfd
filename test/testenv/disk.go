// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk returns a folder on a file system of its own, of so many bytes, as in
// 32m. Where none may be mounted it skips the test: that takes root.
func SmallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("gatecast-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		// Detached, for JetStream may still look through a folder when its server has
		// shut down: whoever opens a stream's store does not wait for that.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ReadOnly mounts a folder of [SmallDisk] anew, so that nobody can write in it.
func ReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}
