// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package check finds, isolates and repairs damage in the folder of an embedded JetStream
// server, before the server starts.
//
// JetStream by itself skips a stream whose description is damaged, cuts a block off at the
// first damaged record, and does not notice that a block or a whole stream is missing. An
// event log must not lose data silently. So [Open] compares the folder with three records of
// what it must contain:
//
//   - the checksums in the store (block.go, inspect.go);
//   - the store marker, life.json: how the last process ended, and the size of each file when
//     it ended in order (storemarker.go);
//   - the extents, extents.json: how much each stream holds, updated while the log is open
//     (extent.go).
//
// A sentinel file outside the folder says that there is a log at all (sentinel.go).
//
// What a crash or a power cut explains is accepted. Everything else is an error that names
// the file, unless Config.Repair is set: then damaged files are moved aside, and everything
// that is readable is kept (repair.go).
//
// The package reads files whose format is private to nats-server. FormatVersion names the
// version that it was checked with; a test fails when go.mod requires another one.
package check
