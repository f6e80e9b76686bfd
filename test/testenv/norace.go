// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package testenv

// Race reports whether the race detector is on.
const Race = false
