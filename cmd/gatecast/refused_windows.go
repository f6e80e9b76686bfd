// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "syscall"

// errRefused is the error of a connection attempt to an address where nothing listens:
// WSAECONNREFUSED. Go gives syscall.ECONNREFUSED another number on Windows.
const errRefused = syscall.Errno(10061)
