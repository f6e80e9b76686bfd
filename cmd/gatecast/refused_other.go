// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package main

import "syscall"

// errRefused is the error of a connection attempt to an address where nothing listens.
const errRefused = syscall.ECONNREFUSED
