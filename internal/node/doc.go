// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package node puts a gatecast node together from a [Config], starts it and
// drains it. It is what the command serves, and what tests and benchmarks start.
package node
