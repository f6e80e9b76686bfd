// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench puts a gatecast under load and measures what that costs it.
//
// A workload ([Idle], [FanOut], [Each], [Burst], [Latency], [Mixed], [Publish],
// [Storm], [StormBeside], [Load]) is a function from a [Target] and a config to
// a [Result]. It registers its own gateways, connects as them, publishes, and
// fails unless each connection has got each of its events once and in order.
// Tests, benchmarks and gatecast bench call the same functions.
//
// The server is a process of its own, so that its memory and processor time are
// its alone; [StartServer] starts one. The load is this process: a goroutine a
// connection, and one clock for what is published and what is received. With
// [Split] and [Pin] the two have a processor each.
//
// But for [Load], a target should be fresh for each run and nobody else's: what
// a workload registered stays registered, memory that the last run left behind
// is not measured again, and some events are for all gateways there are.
package bench
