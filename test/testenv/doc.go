// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package testenv is the shared vocabulary of tests: the binary under test, a client of a node's
// internal listener, logs without secrets, TLS records, small disks, and waiting for a condition.
package testenv
