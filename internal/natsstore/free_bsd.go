// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || freebsd

package natsstore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeBytes returns how many bytes this process can write to the disk of a folder.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	if st.Flags&unix.MNT_RDONLY != 0 {
		return 0, fmt.Errorf("%w; mount it writable", unix.EROFS)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
