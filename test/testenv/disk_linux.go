// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package testenv

import "golang.org/x/sys/unix"

func mountTmpfs(dir, size string) error {
	return unix.Mount("gatecast-test", dir, "tmpfs", 0, "size="+size)
}

// unmount detaches the file system: JetStream can still read a folder when its server
// has shut down, and nobody waits for that.
func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

func remountReadOnly(dir string) error {
	return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func resizeTmpfs(dir, size string) error {
	return unix.Mount("gatecast-test", dir, "tmpfs", unix.MS_REMOUNT, "size="+size)
}
