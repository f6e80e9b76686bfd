// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench generates load on a gatecast node and measures what the load costs it.
//
// A workload ([Idle], [FanOut], [Each], [Burst], [Latency], [Mixed], [Publish], [Storm],
// [StormBeside], [Load]) is a function from a [Target] and a config to a [Result]. It registers its
// own gateways, connects as them, publishes, and fails unless each connection received each of its
// events once and in order. Tests, benchmarks and `gatecast bench` call the same functions.
//
// The server is a separate process, so that its memory and CPU time can be measured; [StartServer]
// starts one. The load is this process. It has one goroutine per connection, and one clock for
// publishing and receiving. With [Split] and [Pin], server and load use different processors.
//
// Except for [Load], each run needs a new target that nobody else uses: the gateways of a workload
// stay registered, the memory of the run before would distort the measurement, and some events are
// for all gateways.
package bench
