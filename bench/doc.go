// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench puts a gatecast under load and measures what that costs it.
//
// A workload ([Idle], [FanOut], [Latency], [Publish], [Storm], [Burst]) is a
// function from a [Target] and a config to a [Result]. It registers its own
// gateways, connects as them, publishes, and fails unless each connection has
// got each of its events once and in order. Tests, benchmarks and commands call
// the same functions.
//
// The server is a process of its own, so that its memory and processor time are
// its alone; [StartServer] starts one. The load is this process: a goroutine a
// connection, and one clock for what is published and what is received. With
// [Split] and [Pin] the two have a processor each.
//
// A target should be fresh for each run: what a workload registered stays
// registered, and memory that the last run left behind is not measured again.
package bench
