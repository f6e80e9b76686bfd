// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package testenv

// Race reports whether the race detector is on. With it sync.Pool drops values at random, so
// allocations cannot be counted.
const Race = true
